"""Which parts a classifier consists of, and which of them are trained; `clinical_peft.models.classifiers` builds it."""

from dataclasses import dataclass

from clinical_peft.errors import TrainingError
from clinical_peft.methods import Method
from clinical_peft.recipes import FinetuneJob, PoolBy
from clinical_peft.recipes.classifier_adapters import ClinicalMode
from clinical_peft.recipes.families import Family
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.recipes.switches import switch_on

CLINICAL = "clinical"
TASK = "task"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Which parts a classifier has and which of them are trained.

    Attributes:
        family: Kind of base network.
        full: Train every weight; there are no adapters.
        clinical: What is done with the clinical adapter, or None without one.
        task_method: Settings of the task adapter, or None without one.
        task_active: Whether the task adapter takes part in the forward pass. False reproduces a task adapter that is
            added but never activated, where a clinical adapter was active before.
        pooling: What a decoder's head reads of a note.
    """

    family: Family
    full: bool = False
    clinical: ClinicalMode | None = None
    task_method: Method | None = None
    task_active: bool = True
    pooling: PoolBy = "last"

    @property
    def active(self) -> tuple[str, ...]:
        """Adapters in the forward pass."""
        clinical = (CLINICAL,) if self.clinical in ("frozen", "trainable") else ()
        return (*clinical, TASK) if self.task_method and self.task_active else clinical

    @property
    def trained(self) -> tuple[str, ...]:
        """Adapters whose parameters are trained."""
        return tuple(name for name in self.active if name == TASK or self.clinical == "trainable")

    @property
    def head_only(self) -> bool:
        """Whether the classification head is all that is trained."""
        return not self.full and not self.trained


def variant_of(job: FinetuneJob) -> Variant:
    """Read the variant from a job.

    Raises:
        TrainingError: The job has no network to fine-tune.
    """
    if job.family is None or not find_kind(job.kind).has_network:
        raise TrainingError(
            f"model {job.model}: kind {job.kind!r} of family {job.family!r} has no network to fine-tune"
        )
    follows_another = job.task_method is not None and job.clinical_mode in ("frozen", "trainable")
    return Variant(
        family=job.family,
        full=find_kind(job.kind).trains_every_weight,
        clinical=job.clinical_mode if job.clinical else None,
        task_method=job.task_method,
        task_active=not (follows_another and switch_on(job.switches, "task_adapter_inactive")),
        pooling=job.recipe.pooling,
    )

"""Choosing how a model is trained on a task, importing no more libraries than that way needs."""

from functools import partial
from pathlib import Path
from typing import Any, Protocol

from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.runtime.events import RunLog


class Trainer(Protocol):
    """Trains one seed, writes its predictions and its model, and returns a JSON-ready summary."""

    def __call__(
        self, *, seed: int, work: Path, predictions: Path, model_directory: Path, log: RunLog
    ) -> dict[str, Any]:
        """Train one seed; see `clinical_peft.training.classification.finetune`."""


def trainer_of(
    job: FinetuneJob, *, cohort: Path, classes: Path, base: Path | None, adapter: Path | None, features: Path | None
) -> Trainer:
    """Prepare what all seeds of a job share.

    Args:
        job: Recipe and switches.
        cohort: Cohort file.
        classes: Label space of the cohort.
        base: Base folder; None for TF-IDF.
        adapter: Folder of the clinical adapter, or None where the job has none.
        features: Features of the cohort's notes, pooled before, for a model that trains a head alone; else None.

    Raises:
        TrainingError: See `fit_tfidf`, `prepare_head` and `prepare`.
    """
    if not find_kind(job.kind).has_network:
        from clinical_peft.training.classical import fit_tfidf

        def fit(*, seed: int, work: Path, **places: Any) -> dict[str, Any]:
            return fit_tfidf(job, cohort=cohort, classes=classes, seed=seed, **places)

        return fit
    if features is not None:
        from clinical_peft.training.head_runs import finetune_head, prepare_head

        assert base is not None
        return partial(
            finetune_head,
            prepare_head(job, cohort=cohort, classes=classes, features=features, base=base, adapter=adapter),
        )
    from clinical_peft.training.classification import finetune, prepare

    assert base is not None
    return partial(finetune, prepare(job, cohort=cohort, classes=classes, base=base, adapter=adapter))

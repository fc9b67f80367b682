"""The sections of a study's configuration."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from clinical_peft.methods import METHODS, AnyMethod, name_settings
from clinical_peft.recipes import CompareBy, LanguageRecipe, Shape
from clinical_peft.recipes.classifier_adapters import ClinicalMode
from clinical_peft.recipes.families import Family, find_family
from clinical_peft.recipes.kinds import Kind
from clinical_peft.tracking.stores import EXPECTED, holds_credentials, is_store

# A file name holds 255 bytes, and the workflow adds switches and endings to a name.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*$", max_length=100)]

TaskName = Name
"""A built-in task (`clinical_peft.tasks`), or one that the study defines."""


Partial = dict[str, Any]


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    return value


Seed = Annotated[int, Field(ge=0, lt=2**32), BeforeValidator(_no_boolean)]
"""A seed that every library takes."""

SMALLEST_TRAIN_SIZE = 10
WHOLE_SPLIT: Literal["all"] = "all"


def _train_size(value: Any) -> Any:
    if value == WHOLE_SPLIT or (type(value) is int and value >= SMALLEST_TRAIN_SIZE):
        return value
    raise ValueError(f"expected {WHOLE_SPLIT} or a number of training rows from {SMALLEST_TRAIN_SIZE}")


TrainSize = Annotated[Annotated[int, Field(ge=SMALLEST_TRAIN_SIZE)] | Literal["all"], BeforeValidator(_train_size)]
"""Rows of a training split to train on, or all of them."""


def _expand(path: Path) -> Path:
    expanded = os.path.expandvars(path)
    if expanded != str(path) and holds_credentials(expanded):
        raise ValueError("expected a path, found variables that make an address with a password (not shown here)")
    return Path(expanded).expanduser()


UserPath = Annotated[Path, AfterValidator(_expand)]
"""A path in which `~` and environment variables such as `$DATA` are replaced."""


def _image(name: str) -> str:
    expanded = name if "://" in name else str(_expand(Path(name)))
    if any(character.isspace() for character in expanded):
        raise ValueError("expected a path or an address without spaces")
    return expanded


Image = Annotated[str, Field(min_length=1), AfterValidator(_image)]
"""A container image: a path, as of `UserPath`, or an address such as `docker://server/name:tag`."""


_NUMBERS = (int, float, int | None, float | None)


class Section(BaseModel):
    """A mapping that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans(cls, given: Any) -> Any:
        """Refuse true and false for a number, of which pydantic makes 1 and 0."""
        for name, field in cls.model_fields.items():
            if isinstance(given, dict) and field.annotation in _NUMBERS and isinstance(given.get(name), bool):
                raise ValueError(f"{name}: expected a number, found {str(given[name]).lower()}")
        return given


class NoteFile(Section):
    """A corpus from a user's own file of notes (.jsonl, .csv or .csv.gz)."""

    path: UserPath
    id_column: str = "note_id"
    text_column: str = "text"
    subject_column: str | None = Field(
        None, description="patient identifier; without one, near-duplicate notes are kept in one split"
    )

    @property
    def columns(self) -> dict[str, Any]:
        """Names of the columns or keys that are read."""
        return self.model_dump(exclude={"path"})


class ScratchSource(Section):
    """A base trained in the workflow on general English text."""

    kind: Literal["scratch"]
    shape: Shape
    recipe: LanguageRecipe
    general_characters: int = Field(8_000_000, gt=0, description="general text to collect, in characters")

    @model_validator(mode="after")
    def _check_recipe(self) -> "ScratchSource":
        if self.recipe.devices.processes > 1:
            raise ValueError("recipe.devices.processes: a base from scratch is trained by one process; set it to 1")
        if self.recipe.precision == "nf4" or self.recipe.replay:
            raise ValueError("recipe: precision nf4 and replay are for adapters, not for a base trained from scratch")
        return self


class HubSource(Section):
    """A base from the Hugging Face Hub, fetched by revision."""

    kind: Literal["hub"]
    id: str
    revision: str = Field(description="commit hash, or a branch or tag that is resolved to one when fetched")
    shape: Shape | None = Field(None, description="dimensions for counts and plans made without the weights")


class LocalSource(Section):
    """A base in a folder, or in a folder inside an installed Python package."""

    kind: Literal["local"]
    path: UserPath
    package: str | None = None


class GgufSource(Section):
    """A base in a GGUF file, or in a file inside an installed Python package."""

    kind: Literal["gguf"]
    path: UserPath
    package: str | None = None


Source = Annotated[ScratchSource | HubSource | LocalSource | GgufSource, Field(discriminator="kind")]


class Base(Section):
    """A network to adapt."""

    family: Family
    label: str
    source: Source
    published: str | None = Field(None, description="base of the paper's Table 2 to print beside this one")

    @model_validator(mode="after")
    def _check_shape(self) -> "Base":
        if not isinstance(self.source, ScratchSource):
            return self
        shape, recipe = self.source.shape, self.source.recipe
        if find_family(self.family).is_decoder and shape.hidden_size // shape.heads % 2:
            raise ValueError("source.shape: hidden_size / heads must be even, since LLaMA rotates pairs of values")
        if recipe.context > shape.context:
            raise ValueError(
                f"source.recipe.context: is {recipe.context}, but the shape's is {shape.context}; lower it"
            )
        return self


class MethodEntry(Section):
    """A PEFT method with its settings, by the names of PEFT's own configuration or by those of earlier versions."""

    label: str
    settings: Annotated[AnyMethod, Field(discriminator="type")]
    published: str | None = Field(None, description="method of the paper's Table 2 to print beside this one")
    recipe: Partial = Field({}, description="overrides of `pretraining`")

    @field_validator("settings", mode="before")
    @classmethod
    def _name_settings(cls, settings: Any) -> Any:
        """Refuse settings that the method does not have, and take PEFT's names for those here."""
        method = METHODS.get(str(settings.get("type"))) if isinstance(settings, dict) else None
        return settings if method is None else name_settings(settings, method)


class Adapter(Section):
    """A clinical adapter: one method, trained on one corpus for one base, or an adapter that exists already."""

    base: Name
    method: Name | None = Field(None, description="method that trains it; null with `path`")
    corpus: Name = Field(
        "mimic-iv",
        description="notes that train it; with `path`, if given, notes on which its perplexity is measured",
    )
    path: UserPath | None = Field(None, description="PEFT folder of an adapter of this base, which is not trained here")
    recipe: Partial = Field({}, description="overrides of `pretraining` and of the method's recipe")

    @model_validator(mode="after")
    def _check_path(self) -> "Adapter":
        if self.path is None and self.method is None:
            raise ValueError("expected method, which trains it, or path, where it exists already; found neither")
        given = [name for name in ("method", "recipe") if name in self.model_fields_set]
        if self.path is not None and given:
            raise ValueError(f"an adapter with a path is not trained here; remove {', '.join(given)}")
        return self

    @property
    def is_measured(self) -> bool:
        """Whether it exists already, and its perplexity is measured on a corpus."""
        return self.path is not None and "corpus" in self.model_fields_set

    @property
    def reads_notes(self) -> bool:
        """Whether a job reads the tokens of its corpus."""
        return self.path is None or self.is_measured


class Model(Section):
    """A model of outcomes: a row of Table 3 or Table 4."""

    kind: Kind = "adapted"
    label: str
    base: Name | None = None
    clinical: Name | None = Field(None, description="clinical adapter")
    clinical_mode: ClinicalMode | None = None
    task_method: Name | None = Field(None, description="PEFT method of the task adapter")
    table: Literal["main", "lora_baselines"] = "main"
    published: str | None = Field(None, description="row of the paper's Table 3 or 4 to print beside this one")
    recipe: Partial = Field({}, description="overrides of `finetuning` and of the task's recipe")
    task_recipes: dict[TaskName, Partial] = Field({}, description="overrides of `recipe` on single tasks")


class Matrix(Section):
    """What a study runs, chosen from the registries."""

    adapters: list[Name] = []
    models: list[Name] = []
    tasks: list[TaskName] = []
    seeds: list[Seed] = Field([0], min_length=1)
    train_sizes: list[TrainSize] = Field(
        [WHOLE_SPLIT],
        description="rows of the training split on which each model is trained; all is the study's own run",
    )

    @model_validator(mode="after")
    def _check_train_sizes(self) -> "Matrix":
        if len(set(self.train_sizes)) != len(self.train_sizes):
            raise ValueError("train_sizes: lists a size twice; list each once")
        if WHOLE_SPLIT not in self.train_sizes:
            raise ValueError(f"train_sizes: expected {WHOLE_SPLIT} too, which the others are compared with; add it")
        return self

    @property
    def smaller_sizes(self) -> list[int]:
        """Sizes below the whole training split, rising."""
        return sorted(size for size in self.train_sizes if isinstance(size, int))


DEFAULT_METRIC: CompareBy = "auroc"


class Evaluation(Section):
    """Uncertainty of the metrics."""

    resamples: int = Field(
        2000,
        ge=100,
        description="bootstrap resamples of patients; a corrected p-value can be no smaller than pairs / resamples",
    )
    seed: Seed = 0
    metric: CompareBy = Field(
        DEFAULT_METRIC, description="metric that models are compared, epochs chosen and recipes searched by"
    )


class Tracking(Section):
    """MLflow."""

    uri: str | None = Field(
        None, description="tracking server, without a user or password; null keeps runs in `<study>/mlflow.db`"
    )
    artifacts: bool = Field(True, description="keep tables, figures and the report with the study's run")
    register_adapters: bool = Field(
        False, description="copy adapters into the store and register them as models; weights derive from the notes"
    )

    @field_validator("uri")
    @classmethod
    def _is_a_store(cls, uri: str | None) -> str | None:
        if uri is not None and not is_store(uri):
            raise ValueError(EXPECTED)
        return uri


class Hub(Section):
    """The Hugging Face Hub, which is used by the targets `push_to_hub` and `pull_from_hub` alone."""

    repository: str | None = Field(
        None,
        pattern=r"^[\w.-]+/[\w.{}-]+$",
        description="`owner/name` of an adapter's repository; `{adapter}` in it stands for the adapter's name",
    )
    private: bool = Field(True, description="refuse a repository that others can read")
    revisions: dict[Name, str] = Field({}, description="by adapter, the commit, tag or branch to pull; default `main`")
    share_derived_weights: bool = Field(
        False,
        description="whoever answers for the data has agreed that weights trained on real notes go to this repository",
    )


class Budget(Section):
    """Speeds that turn a plan's tokens into device hours."""

    tokens_per_second: float = Field(15000.0, gt=0, description="training tokens per second of one device")
    device: str = "CPU core"

"""Records of what is read of perplexity files, of training records and of sets of pooled notes."""

from dataclasses import dataclass, field
from typing import Any

from clinical_peft.metrics.records import Record


@dataclass(frozen=True, kw_only=True)
class Perplexities:
    """Perplexity by split, before and after training; None where it was not measured."""

    before: dict[str, float | None] = field(default_factory=dict)
    after: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GeneralPerplexity:
    """Perplexity of general text `before` and `after` training."""

    perplexity: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The tokens that an adapter has been trained on, and the perplexity of the validation notes then."""

    tokens: int
    validation_perplexity: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measured(Record):
    """What a job took.

    Attributes:
        seconds: Device time.
        peak_memory_bytes: Largest memory; None where it was not recorded.
        energy_joules: Energy; likewise.
    """

    seconds: float = 0.0
    peak_memory_bytes: float | None = None
    energy_joules: float | None = None


@dataclass(frozen=True, kw_only=True)
class AdapterFile(Measured):
    """A perplexity file: an adapter, what it learned from, and what that gave.

    Attributes:
        adapter: Its name.
        base: Name of its base.
        corpus: Name of its corpus.
        trained: Whether the study trained it; False for one that existed already.
        method: Type of adapter, or the method's settings with `type` among them.
        trainable_parameters: Parameters that are trained, or those of an adapter that existed already.
        total_parameters: Parameters of base and adapter.
        tokens: Tokens by split, and those `trained_on`.
        evaluated_tokens: Tokens by split that perplexity was measured on; empty for all.
        perplexity: Perplexity of notes.
        general: That of general text; None where it was not measured.
        curve: Validation perplexity while it was trained.
        forward_tokens: Tokens read forward alone.
        evaluation_seconds: Device time of evaluations.
        tokens_per_second: Tokens trained on per second.
    """

    adapter: str
    base: str = ""
    corpus: str = ""
    trained: bool = True
    method: str | dict[str, Any] = ""
    trainable_parameters: int = 0
    total_parameters: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    evaluated_tokens: dict[str, int] = field(default_factory=dict)
    perplexity: Perplexities = field(default_factory=Perplexities)
    general: GeneralPerplexity | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    forward_tokens: int = 0
    evaluation_seconds: float = 0.0
    tokens_per_second: float | None = None

    @property
    def method_type(self) -> str:
        """Type of adapter."""
        return self.method if isinstance(self.method, str) else str(self.method["type"])


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Tokens that a network read in a run, in training steps and forward alone, and those of the original."""

    trained_tokens: int
    forward_tokens: int
    original_trained_tokens: int
    original_forward_tokens: int


@dataclass(frozen=True, kw_only=True)
class TrainedRun(Measured):
    """What a run cost.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        epochs: Epochs that it was trained for.
        passes: Tokens; None for a model that is no network.
    """

    model: str
    task: str
    epochs: int = 0
    passes: Passes | None = None


@dataclass(frozen=True, kw_only=True)
class PooledNotes(Measured):
    """What a set of pooled notes cost; `tokens` were read forward."""

    tokens: int = 0

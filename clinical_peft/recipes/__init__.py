"""Settings of training jobs: plain dataclasses, so that training code needs no validation library.

The configuration (`clinical_peft.config`) validates YAML into these classes; a script or a benchmark may also
construct them directly. Each checks its own values and raises `ValueError`.
"""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import ClassVar, Literal, get_args

from clinical_peft.methods import AnyMethod
from clinical_peft.methods.method import STRICT, require, require_from_one
from clinical_peft.recipes.classifier_adapters import ClinicalMode
from clinical_peft.recipes.families import Family
from clinical_peft.recipes.kinds import Kind
from clinical_peft.tasks import OwnTask, Task, TaskType, find_task
from clinical_peft.tasks.own import FIRST_PLACE

Schedule = Literal["linear", "cosine", "constant"]
Precision = Literal["fp32", "bf16", "nf4"]
Attention = Literal["auto", "grouped", "packed"]
Checkpointing = Literal["auto", "none", "full"] | int
Strategy = Literal["ddp", "fsdp2"]
PoolBy = Literal["last", "mean"]
CompareBy = Literal["auroc", "auprc", "accuracy", "f1_macro"]
"""Metrics that a study may compare its models by (`evaluation.metric`)."""
COMPARE_BY: tuple[CompareBy, ...] = get_args(CompareBy)

# Keys of a recipe on which no result depends.
IDLE_KEYS = ("checkpoint_seconds",)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Dimensions of a transformer.

    Attributes:
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the feed-forward layer.
        layers: Number of transformer blocks.
        heads: Attention heads; must divide `hidden_size`.
        vocabulary: Number of token embeddings.
        context: Longest sequence, in tokens.
    """

    __pydantic_config__: ClassVar = STRICT
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    vocabulary: int
    context: int

    def __post_init__(self) -> None:
        require(min(asdict(self).values()) > 0, "every dimension must be positive")
        require(self.hidden_size % self.heads == 0, "heads must divide hidden_size")


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How a model is optimised; shared by every kind of training.

    Attributes:
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Decoupled weight decay.
        warmup_ratio: Share of all optimizer steps over which the learning rate rises from zero.
        schedule: Decay of the learning rate after warm-up.
        clip_norm: Largest gradient norm, or null for no clipping.
        precision: Type of activations; trainable parameters are always float32. `nf4` also keeps the base's matrices in
            four bits each (QLoRA, Dettmers et al. 2023), with bfloat16 activations; it needs a GPU and bitsandbytes.
        threads: CPU threads of the job. They change the order of float sums and so the bytes of the result,
            which is why they are part of the recipe.
    """

    __pydantic_config__: ClassVar = STRICT
    learning_rate: float
    weight_decay: float = 0.01
    warmup_ratio: float = 0.06
    schedule: Schedule = "linear"
    clip_norm: float | None = 1.0
    precision: Precision = "fp32"
    threads: int = 1

    def __post_init__(self) -> None:
        require(0 < self.learning_rate < math.inf, "learning_rate must be positive and finite")
        require(self.weight_decay >= 0, "weight_decay must not be negative")
        require(0 <= self.warmup_ratio < 1, "warmup_ratio must be in [0, 1)")
        require(self.clip_norm is None or self.clip_norm > 0, "clip_norm must be positive or null")
        require(self.threads >= 1, "threads must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Devices:
    """How many processes train one network, each on a device of its own; `threads` is the CPU threads of each.

    Attributes:
        processes: On all machines together. They change the order of float sums and so the bytes of the result.
        strategy: `ddp` keeps the whole network on each device; `fsdp2` shards it.
    """

    __pydantic_config__: ClassVar = STRICT
    processes: int = 1
    strategy: Strategy = "ddp"

    def __post_init__(self) -> None:
        require(self.processes >= 1, "processes must be at least 1")


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe(Optimisation):
    """Language-model training: a base from scratch, or an adapter on clinical notes.

    Attributes:
        context: Longest sequence in tokens; longer notes are split at this border, none is truncated
            (unless the switch `truncate_and_pad` is on).
        train_tokens: Budget of training tokens over all epochs, or null for exactly `epochs`.
        epochs: Passes over the training split; ends earlier when `train_tokens` is reached.
        batch_tokens: Real tokens per optimizer step, about.
        micro_batch_tokens: Tokens per forward pass, padding included, at most.
        attention: How documents share a forward pass: `packed` one after the other in one sequence, attention staying
            inside each; `grouped` as rows of like length, padded on the right; `auto` packs where the device has a
            kernel for it, which spares all padding. Methods with virtual tokens are always grouped. The choice changes
            the order of float sums, not the result otherwise.
        checkpointing: Layers whose activations are computed again in the backward pass instead of being kept: `none`,
            `full`, every n-th, or `auto`, as many as the memory of a GPU demands and none on a CPU. Same result.
        compile: Compile the layers with `torch.compile`, where a compiler works. The first pass takes minutes on a GPU.
        evaluations: Evenly spaced evaluations on the validation split during training.
        evaluation_tokens: At most so many tokens of each split are read for a perplexity, or null for all.
        train_evaluation_tokens: At most so many of the training split, where that is less; null sets no other limit.
        patience: Training ends after so many evaluations in a row without a better one; null never ends it early.
        general_tokens: Tokens of general text on which forgetting is measured, about; 0 measures nothing.
        replay: Share of each update's tokens that comes from general text.
        checkpoint_seconds: Time between two checkpoints.
        devices: Processes that share the forward passes of an update.
    """

    __pydantic_config__: ClassVar = STRICT
    context: int = 128
    train_tokens: int | None = None
    epochs: int = 1
    batch_tokens: int = 8192
    micro_batch_tokens: int = 4096
    attention: Attention = "auto"
    checkpointing: Checkpointing = "auto"
    compile: bool = False
    evaluations: int = 4
    evaluation_tokens: int | None = None
    train_evaluation_tokens: int | None = None
    patience: int | None = None
    general_tokens: int = 4096
    replay: float = 0.0
    checkpoint_seconds: float = 300.0
    devices: Devices = field(default_factory=Devices)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.context >= 2, "context must be at least 2 tokens")
        require(self.train_tokens is None or self.train_tokens > 0, "train_tokens must be positive or null")
        require(self.epochs >= 1, "epochs must be at least 1")
        require(self.micro_batch_tokens >= self.context, "micro_batch_tokens must hold one sequence of `context`")
        require(self.batch_tokens >= 1, "batch_tokens must be positive")
        require(self.evaluations >= 1, "evaluations must be at least 1")
        for limit in ("evaluation_tokens", "train_evaluation_tokens"):
            require(getattr(self, limit) is None or getattr(self, limit) > 0, f"{limit} must be positive or null")
        every = self.checkpointing
        require(isinstance(every, str) or every >= 1, "checkpointing must be auto, none, full or a number from 1")
        passes = self.batch_tokens // self.micro_batch_tokens
        require(
            self.devices.processes <= max(1, passes),
            "batch_tokens must be at least processes times micro_batch_tokens, so that each process has a forward pass",
        )
        require(self.patience is None or self.patience >= 1, "patience must be at least 1 or null")
        require(self.general_tokens >= 0, "general_tokens must not be negative")
        require(0 <= self.replay < 1, "replay must be in [0, 1)")

    def evaluation_limit(self, split: str) -> int | None:
        """Return the most tokens of a split that are read for a perplexity, or None for all."""
        limits = [self.evaluation_tokens, self.train_evaluation_tokens if split == "train" else None]
        return min((limit for limit in limits if limit is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(Optimisation):
    """Fine-tuning on one clinical task.

    Attributes:
        context: Tokens kept of each admission note.
        epochs: Passes over the training split.
        batch_size: Admissions per optimizer step.
        micro_batch_size: Admissions per forward pass; must divide `batch_size`.
        head_learning_rate: Peak learning rate of the classification head, or null for `learning_rate`.
        class_weights: Weight the loss of single-label tasks by N / (K n_c).
        selection: Validation metric that picks the epoch to keep; `last` keeps the last one.
        pooling: What a decoder's head reads of a note: the state of its last token, or the mean over all of its tokens.
            An encoder has a pooler of its own, which reads the first token.
        checkpoint_seconds: Time between two checkpoints.
    """

    __pydantic_config__: ClassVar = STRICT
    context: int = 128
    epochs: int = 3
    batch_size: int = 16
    micro_batch_size: int = 16
    head_learning_rate: float | None = None
    class_weights: bool = True
    selection: CompareBy | Literal["loss", "last"] = "auroc"
    pooling: PoolBy = "last"
    checkpoint_seconds: float = 300.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.context >= 2, "context must be at least 2 tokens")
        require(self.epochs >= 1, "epochs must be at least 1")
        require_from_one(self, "batch_size", "micro_batch_size")
        head_rate = self.head_learning_rate
        require(
            head_rate is None or 0 < head_rate < math.inf, "head_learning_rate must be positive and finite, or null"
        )
        require(self.batch_size % self.micro_batch_size == 0, "micro_batch_size must divide batch_size")

    @property
    def compared(self) -> CompareBy:
        """The metric that validation is measured by: that of `selection`, and AUROC where it names none."""
        return next((metric for metric in COMPARE_BY if metric == self.selection), "auroc")


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """Everything that decides an adapter, apart from its input files.

    Attributes:
        adapter: Name of the adapter.
        method: PEFT method and its settings.
        recipe: Optimisation and budget.
        seed: Seed of initialisation, order and dropout.
        split_salt: Salt of the patient-level hash split of the corpus.
        general_salt: Salt of the hash split of general text, the one by which a base was trained here.
        switches: Named deviations of the protocol; true means the original's behaviour. It holds every switch that the
            job reads (`clinical_peft.recipes.job_records.reads_switch`).
    """

    adapter: str
    method: AnyMethod
    recipe: LanguageRecipe
    seed: int
    split_salt: str
    general_salt: str = ""
    switches: dict[str, bool]

    def __post_init__(self) -> None:
        virtual, context = self.method.virtual_tokens, self.recipe.context
        require(
            virtual < context,
            f"num_virtual_tokens is {virtual}, but the recipe's context is {context} tokens; lower num_virtual_tokens, "
            "or raise context",
        )


@dataclass(frozen=True, kw_only=True)
class MeasureJob:
    """Everything that decides the perplexities of an adapter that exists already, apart from its input files.

    Attributes:
        adapter: Name of the adapter.
        recipe: How notes are read; nothing is trained.
        seed: As for `PretrainJob`, and so are the other attributes.
    """

    adapter: str
    recipe: LanguageRecipe
    seed: int
    split_salt: str
    general_salt: str = ""
    switches: dict[str, bool]

    def with_method(self, method: AnyMethod) -> PretrainJob:
        """The job that would train the adapter, which reads notes in the same way.

        Args:
            method: The adapter's method.
        """
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return PretrainJob(method=method, **given)


@dataclass(frozen=True, kw_only=True)
class PoolJob:
    """Everything that decides the pooled features of admission notes, apart from the input files.

    Attributes:
        family: Kind of base network.
        clinical: Name of the clinical adapter, or null.
        clinical_mode: Whether the clinical adapter stays beside the base's weights or is merged into them.
        context: Tokens kept of each admission note.
        micro_batch_size: Admissions per forward pass of training; a pass without gradients holds more.
        precision: Type of the base's weights and of the activations.
        threads: CPU threads of the job.
        switches: Named deviations of the protocol; true means the original's behaviour. It holds every switch that the
            job reads (`clinical_peft.recipes.job_records.reads_switch`).
        pooling: What is pooled, as in `FinetuneRecipe`.
    """

    family: Family
    clinical: str | None
    clinical_mode: Literal["frozen", "merged"] | None
    context: int
    micro_batch_size: int
    precision: Precision
    threads: int
    switches: dict[str, bool]
    pooling: PoolBy = "last"


@dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """Everything that decides a model's predictions on one task, apart from its input files.

    Attributes:
        model: Name of the model.
        task: Name of the task (`clinical_peft.tasks`).
        kind: `adapted` trains a head and the adapters named below; `full` trains every weight; `tfidf` is
            logistic regression on TF-IDF features and uses no base.
        family: Kind of base network; null for `tfidf`.
        clinical: Name of the clinical adapter, or null.
        clinical_mode: Whether the clinical adapter stays as it is, is trained further, or is merged into the base.
        task_method: PEFT method of the task adapter, or null for none.
        recipe: Optimisation and budget.
        switches: Named deviations of the protocol; true means the original's behaviour. It holds every switch that the
            job reads (`clinical_peft.recipes.job_records.reads_switch`).
        task_type: Type of a task that the study defines; None for a built-in one, which says it itself.
        train_size: Rows of the training split to train on; None, which no record holds, for all.
        clinical_method: Method of a clinical adapter that is trained further with several learning rates; None, which
            no record holds, for one rate.
    """

    model: str
    task: str
    kind: Kind
    family: Family | None
    clinical: str | None
    clinical_mode: ClinicalMode | None
    task_method: AnyMethod | None
    recipe: FinetuneRecipe
    switches: dict[str, bool]
    task_type: TaskType | None = None
    train_size: int | None = None
    clinical_method: AnyMethod | None = None

    @property
    def described_task(self) -> Task:
        """The task, as far as training needs to know it: of one of a study's own, its name and type.

        Raises:
            ConfigError: The task is no built-in one, and the job does not say its type.
        """
        if self.task_type is None:
            return find_task(self.task)
        return OwnTask(name=self.task, title=self.task, short=self.task, place=FIRST_PLACE, type=self.task_type)

    @property
    def type(self) -> TaskType:
        """Type of the task; errors as for `described_task`."""
        return self.described_task.type

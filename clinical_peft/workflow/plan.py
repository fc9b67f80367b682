"""What a study will take, before anything runs: jobs, tokens, device hours and disk.

`python -m clinical_peft.workflow.plan config/paper.yaml` prints it. Token counts are estimates: exact ones stand in
`tokens.json` beside the shards once a corpus is tokenised.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.config import experiments
from clinical_peft.config.ablations import ablation_inputs, plain, size_of, switches_under
from clinical_peft.config.generated import is_generated
from clinical_peft.config.layers import deep_merge
from clinical_peft.config.notes_in_use import reads_hospital, tables_in_use
from clinical_peft.config.sections import HubSource
from clinical_peft.config.selected_adapters import adapters_on_notes
from clinical_peft.config.study import Study
from clinical_peft.config.train_sizes import sized_runs
from clinical_peft.errors import ClinicalPeftError
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.sources import find_source, sources_of_corpus
from clinical_peft.synthetic.sizes import predicted_note_counts
from clinical_peft.workflow.own_rows import SPLIT_SHARE, SPLIT_SHARES, table_rows, table_tokens
from clinical_peft.workflow.own_tables import spec_of
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_file import load_study, notices, read_study_file
from clinical_peft.workflow.study_files import StudyFiles

# Assumptions, printed with the plan.
TOKENS_PER_REAL_NOTE = 360
TOKENS_PER_SYNTHETIC_NOTE = 590
FORWARD_SHARE = 1 / 2  # of a LoRA step, which is a forward pass and the gradients of activations
FULL_SHARE = 3 / 2  # a step that trains every weight adds their gradients
BYTES_PER_PARAMETER = 4
USUAL_SHARE = 0.95  # of discharge summaries, those with a label


@dataclass(frozen=True)
class Stage:
    """One line of a plan.

    Attributes:
        name: What is done.
        jobs: Workflow jobs.
        tokens: Tokens, counted as those of LoRA training steps of equal cost.
        disk_bytes: Size of what is kept.
    """

    name: str
    jobs: int
    tokens: int
    disk_bytes: int


def plan(study: Study) -> list[Stage]:
    """Count the jobs of a study, and estimate what each of its stages takes.

    Args:
        study: A validated study; nothing is read from disk but the sizes of its note files and lines of its tables.

    Returns:
        One stage per part of the workflow, in order.
    """
    estimates = {
        "data": _data,
        "bases": _bases,
        "tokens": _tokens,
        "search": _search,
        "adapters": _adapters,
        "fine-tuning": _finetuning,
        "evaluation": _nothing,
    }
    outputs = planned_outputs(StudyFiles(study))
    stages = [Stage(name, len(outputs[name]), *estimate(study)) for name, estimate in estimates.items()]
    return [stage for stage in stages if stage.jobs or stage.name != "search"]


def plans_for_mimic(study: Study) -> bool:
    """Whether the plan counts MIMIC's rows: its folders are given, or the study may not run without them."""
    refused = experiments.real_bases_in_use(study) and not study.data.synthetic_for_real_bases
    return not study.data.synthetic or bool(refused)


def corpus_tokens(study: Study, corpus: str) -> int:
    """Estimate the tokens of a corpus."""
    if corpus in study.data.note_files and is_generated(study.data.note_files[corpus].path):
        return corpus_tokens(study, "mimic-iv")  # notes of the same number and length
    if corpus in study.data.note_files:
        path = study.data.note_files[corpus].path
        return path.stat().st_size // 4 if path.exists() else 0
    if corpus in study.data.tables:
        return round(SPLIT_SHARE * table_tokens(study, corpus))
    if corpus in study.paired_corpora:
        return round(SPLIT_SHARE * corpus_tokens(study, study.cohorts.source))
    sources = sources_of_corpus(corpus)
    if plans_for_mimic(study):
        return TOKENS_PER_REAL_NOTE * sum(source.release_rows for source in sources)
    counts = predicted_note_counts(study.synthetic.size)
    kinds = [f"{source.name}-{kind}" for source in sources for kind in ("discharge", "radiology")]
    return TOKENS_PER_SYNTHETIC_NOTE * sum(counts.get(kind, 0) for kind in kinds)


def cohort_rows(study: Study, task: str) -> tuple[int, int]:
    """Estimate a cohort's admissions: those of the training split, and all."""
    kind, source = study.task_of(task), find_source(study.cohorts.source)
    if (table := study.table_of(task)) is not None:
        return table_rows(study, table)
    if plans_for_mimic(study) and source.name in kind.release_rows:
        return kind.release_rows[source.name]
    if plans_for_mimic(study):
        rows = round(source.release_summaries * kind.summary_shares.get(source.name, USUAL_SHARE))
    else:
        notes = predicted_note_counts(study.synthetic.size).get(f"{source.name}-discharge", 0)
        rows = round(notes * kind.cohort_share)
    return round(rows * SPLIT_SHARE), rows


# What a stage takes: tokens, counted as those of LoRA steps, and bytes on disk.


def _nothing(study: Study) -> tuple[int, int]:
    return 0, 0


def _data(study: Study) -> tuple[int, int]:
    characters = 4 * sum(corpus_tokens(study, corpus) for corpus in experiments.corpora_in_use(study))
    return 0, characters // 2


def _bases(study: Study) -> tuple[int, int]:
    names = experiments.bases_in_use(study)
    disk = sum(BYTES_PER_PARAMETER * base_parameters(study, name) for name in names)
    return sum(base_tokens(study, name) for name in names), disk


def base_tokens(study: Study, base: str) -> int:
    """Estimate the tokens of a base's training, counted as those of LoRA steps; none for real weights."""
    source = experiments.scratch_source(study, base)
    return round(FULL_SHARE * (source.recipe.train_tokens or 0)) if source is not None else 0


def _tokens(study: Study) -> tuple[int, int]:
    pairs = {(study.adapters[name].base, study.adapters[name].corpus) for name in adapters_on_notes(study)}
    corpora = [corpus for _, corpus in pairs] + [plain(corpus) for corpus in ablation_inputs(study).shards]
    return 0, 2 * sum(corpus_tokens(study, corpus) for corpus in corpora)


def _search(study: Study) -> tuple[int, int]:
    return sum(search_tokens(study).values()), 0


def search_tokens(study: Study) -> dict[str, int]:
    """Estimate the tokens of every search, by its path; of whole trials, as what pruning saves is not known."""
    searches = experiments.searches_in_use(study)
    tokens = {}
    for adapter in experiments.adapters_in_use(study):
        if search := searches.get(f"adapters/{adapter}"):
            training, during, _ = _pretraining(study, adapter)
            tokens[f"adapters/{adapter}"] = search.planned_trials * (training + round(FORWARD_SHARE * during))
    for model, task in experiments.runs_in_use(study):
        search = searches.get(f"{model}/{task}")
        # Trials of a head alone read features that are pooled once.
        if search and experiments.feature_set(study, model, task) is None:
            recipe = experiments.finetune_job(study, model, task).recipe
            train, rows = cohort_rows(study, task)
            # Half of the held-out rows are test rows, which a search does not read.
            seen = train + FORWARD_SHARE * (rows - train) / 2
            tokens[f"{model}/{task}"] = round(search.planned_trials * recipe.context * recipe.epochs * seen)
    return tokens


def _pretraining(study: Study, adapter: str) -> tuple[int, int, int]:
    """Training tokens of an adapter as those of LoRA steps; tokens read forward during training, and around it."""
    job = experiments.pretrain_job(study, adapter)
    recipe, step = job.recipe, FULL_SHARE if job.method.trains_every_weight else 1
    corpus = corpus_tokens(study, study.adapters[plain(adapter)].corpus)
    if switches_under(study, adapter)["truncate_and_pad"]:
        corpus = round(corpus * min(1, recipe.context / TOKENS_PER_REAL_NOTE))
    training = round(SPLIT_SHARE * corpus * recipe.epochs)
    evaluated = _evaluated(recipe, corpus)
    during = recipe.evaluations * evaluated["validation"]
    return round(step * min(training, recipe.train_tokens or training)), during, 2 * sum(evaluated.values())


def _evaluated(recipe: LanguageRecipe, corpus: int) -> dict[str, int]:
    """Tokens of each split of a corpus of so many that are read for a perplexity."""
    tokens = {split: round(share * corpus) for split, share in SPLIT_SHARES.items()}
    return {split: min(count, recipe.evaluation_limit(split) or count) for split, count in tokens.items()}


def _adapters(study: Study) -> tuple[int, int]:
    further = ablation_inputs(study).adapters
    tokens = sum(adapter_tokens(study, name) for name in (*adapters_on_notes(study), *further))
    return tokens, sum(_adapter_bytes(study, name) for name in (*experiments.adapters_in_use(study), *further))


def adapter_tokens(study: Study, adapter: str) -> int:
    """Estimate the tokens of an adapter's training and evaluations, counted as those of LoRA steps."""
    entry = study.adapters[plain(adapter)]
    if entry.is_measured:
        recipe = experiments.recipe_on_notes(study, adapter)
        return round(FORWARD_SHARE * 2 * sum(_evaluated(recipe, corpus_tokens(study, entry.corpus)).values()))
    training, during, around = _pretraining(study, adapter)
    return training + round(FORWARD_SHARE * (during + around))


def _finetuning(study: Study) -> tuple[int, int]:
    tokens = sum(feature_tokens(study, name) for name in experiments.feature_sets_in_use(study))
    disk = 0
    for model, cohort in (*experiments.runs_in_use(study), *sized_runs(study), *ablation_inputs(study).runs):
        tokens += run_tokens(study, model, cohort)
        entry = study.models[plain(model)]
        pools = experiments.feature_set(study, model, cohort) is not None
        if entry.base is not None and not pools and find_kind(entry.kind).trains_every_weight:
            disk += len(study.matrix.seeds) * BYTES_PER_PARAMETER * base_parameters(study, entry.base)
    return tokens, disk


def feature_tokens(study: Study, features: str) -> int:
    """Estimate the tokens of pooling a set of features, counted as those of LoRA steps."""
    model, tasks = experiments.feature_sets(study)[features]
    # The cohorts share most of their notes, which are read once.
    notes = max(cohort_rows(study, task)[1] for task in tasks)
    return round(FORWARD_SHARE * notes * experiments.finetune_job(study, model, tasks[0]).recipe.context)


def run_tokens(study: Study, model: str, cohort: str) -> int:
    """Estimate the tokens of a model's fine-tuning on a task, all seeds, counted as those of LoRA steps.

    Args:
        study: The study.
        model: A model, which may carry a switch or a training size.
        cohort: A task, which may carry a switch.

    Returns:
        Their number; none for a model without a network, or one that reads pooled features.
    """
    if study.models[plain(model)].base is None or experiments.feature_set(study, model, cohort) is not None:
        return 0
    recipe = experiments.finetune_job(study, model, plain(cohort)).recipe
    train, rows = cohort_rows(study, plain(cohort))
    held_out = FORWARD_SHARE * (rows - train)
    trained = min(size_of(model) or train, train)
    return round(len(study.matrix.seeds) * recipe.context * recipe.epochs * (trained + held_out))


def base_parameters(study: Study, base: str) -> int:
    """Estimate the parameters of a base: by its shape where the study gives one."""
    source = study.bases[base].source
    shape = None
    if isinstance(source, HubSource):
        shape = source.shape
    elif (scratch := experiments.scratch_source(study, base)) is not None:
        shape = scratch.shape
    if shape is None:
        return 135_000_000  # the order of a BERT encoder or of a small causal model
    block = 4 * shape.hidden_size**2 + 3 * shape.hidden_size * shape.intermediate_size
    return shape.layers * block + 2 * shape.vocabulary * shape.hidden_size


def _adapter_bytes(study: Study, name: str) -> int:
    entry = study.adapters[plain(name)]
    whole = study.method_of(plain(name)).settings.trains_every_weight
    return BYTES_PER_PARAMETER * base_parameters(study, entry.base) // (1 if whole else 500)


def render(study: Study, stages: Sequence[Stage]) -> str:
    """Return a plan as text."""
    lines = [f"Study {study.study} ({study.protocol} protocol), estimated:", ""]
    lines.append(f"{'stage':<12} {'jobs':>6} {'tokens':>16} {'device hours':>14} {'disk':>10}")
    total = Stage(
        "total", *(sum(getattr(stage, field) for stage in stages) for field in ("jobs", "tokens", "disk_bytes"))
    )
    for stage in [*stages, total]:
        hours = stage.tokens / study.budget.tokens_per_second / 3600
        disk = size_in_words(stage.disk_bytes)
        lines.append(f"{stage.name:<12} {stage.jobs:>6,} {stage.tokens:>16,} {hours:>14,.2f} {disk:>10}")
    lines += [
        "",
        f"Device: one {study.budget.device} at {study.budget.tokens_per_second:,.0f} tokens/s (config: budget).",
        "Tokens are those of LoRA steps of equal cost: a forward pass counts half, in evaluations too. Assumed: "
        f"{_assumed(study)}.",
        *_missing_files(study),
    ]
    return "\n".join(lines)


def _assumed(study: Study) -> str:
    of_tables = "rows and tokens of own tables by the size of their files"
    if tables_in_use(study) and not reads_hospital(study):
        return of_tables
    of_notes = f"{TOKENS_PER_REAL_NOTE} tokens per MIMIC note, {TOKENS_PER_SYNTHETIC_NOTE} per synthetic one"
    return f"{of_notes}, {of_tables}" if tables_in_use(study) else of_notes


def _missing_files(study: Study) -> list[str]:
    """A line for each file of an own table that is not there, and so counts for nothing."""
    return [
        f"data.tables.{name}: {path} is not there, so its notes are not counted"
        for name in tables_in_use(study)
        for path in spec_of(name, study.data.tables[name]).files
        if not path.is_file()
    ]


def size_in_words(count: float) -> str:
    """A number of bytes for readers."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def main(paths: Sequence[Path]) -> int:
    """Print the plan of the study in a configuration file, laid over the embedded default."""
    try:
        default, *given = map(read_study_file, paths)
        own = deep_merge(*given)
        study = load_study(deep_merge(default, own), paths[1:], own)
        said = notices(study, paths[1:], own)
    except ClinicalPeftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(render(study, plan(study)))
    if said:
        print("", *said, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main([Path("config/config.yaml"), *(Path(argument) for argument in sys.argv[1:])]))

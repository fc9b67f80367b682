"""A TRIPOD+AI evidence sheet: what a run can say to each item, and which items are left to the authors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.registry import MAIN_METRICS
from clinical_peft.report.tripod_items import ITEMS, Item
from clinical_peft.runtime.provenance import UNKNOWN, UNKNOWN_ENVIRONMENT
from clinical_peft.tables.form import Table, counted, number, splits_of_tables, unit_of_split
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import listed_labels, own_tables, task_label, task_order

MOST_CLASSES = 20  # whose events are listed
FILLED, PARTLY, OPEN, NONE = "from the run", "partly: authors", "authors", "does not apply"
# What only a study that predicts outcomes can answer; one that trains adapters alone has no such evidence.
OF_OUTCOMES = {
    *("eligibility", "outcomes", "predictors", "sample_size", "missing", "measures", "updating", "predictions"),
    *("imbalance", "fairness", "output", "differences", "flow", "characteristics", "events", "performance"),
}


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a finished study knows of itself.

    Attributes:
        study: study (name), protocol, contamination, split, split_by_admission (tasks), cohorts (their source),
            synthetic (bool), hospital (whether it reads one's tables), note_files (names of corpora that are files),
            switches; where it reads own tables, tables: how each is split, in words.
        results: Its tasks, metric, attrition, perplexities, comparison and metrics.
        tables: The study's tables by name.
        provenance: git revision, versions and machine of the training jobs.
    """

    study: Mapping[str, Any]
    results: StudyResults
    tables: Mapping[str, Table]
    provenance: Mapping[str, Any]

    def tasks(self) -> str:
        """The study's tasks as text."""
        names = [row["task"] for row in self.tables["dataset_statistics"].records]
        return listed_labels(names, self.results.tasks) or "none"

    @property
    def corpora(self) -> set[str]:
        """Names of the corpora that adapters learn from."""
        return {row["corpus"] for row in self.results.perplexities}


def tripod_table(facts: RunFacts) -> Table:
    """Return the sheet as a table: item, what it asks, what the run says, and whose turn it is.

    Args:
        facts: What the study knows.
    """
    rows = tuple(_row(item, facts) for item in ITEMS)
    counts = {status: sum(row[-1] == status for row in rows) for status in (FILLED, PARTLY, OPEN, NONE)}
    without = f", {counts[NONE]} without an object: the study predicts no outcome" if counts[NONE] else ""
    return Table(
        name="tripod_ai",
        caption=f"TRIPOD+AI evidence of the study {facts.study['study']}: {counts[FILLED]} items filled from the run, "
        f"{counts[PARTLY]} partly, {counts[OPEN]} left to the authors{without}.",
        fields=(),
        records=(),
        header=("Item", "Part", "Asks for", "Evidence", "Answered by"),
        rows=rows,
        notes=(
            "Items in short words of our own; the statement is Collins et al. 2024, BMJ 385:e078378. A filled item "
            "says where the evidence lies; it does not judge it.",
        ),
        text_columns=5,
    )


def _row(item: Item, facts: RunFacts) -> tuple[str, ...]:
    if item.evidence in OF_OUTCOMES and not facts.results.metrics:
        return (item.number, item.section, item.asks, "The study predicts no outcome.", NONE)
    found = EVIDENCE[item.evidence](facts) if item.evidence else None
    asked = item.open if facts.results.is_of_hospital or not item.is_of_mimic else ""
    status = OPEN if found is None else PARTLY if asked else FILLED
    left = f"AUTHOR INPUT NEEDED{': ' + asked if asked else ''}."
    text = left if found is None else f"{found} {left}" if asked else found
    return (item.number, item.section, item.asks, text, status)


def _aims(facts: RunFacts) -> str:
    trained = counted(len(facts.results.perplexities), "adapter")
    adapters = f"Development and internal evaluation: {trained} of language models"
    models = counted(len({run["model"] for run in facts.results.metrics}), "model")
    return f"{adapters}, and {models} of {facts.tasks()}." if facts.results.metrics else f"{adapters}."


def _sources(facts: RunFacts) -> str:
    files, own = _own_files(facts), _own_tables(facts)
    origin = "a synthetic hospital (no patients)" if facts.study["synthetic"] else "MIMIC"
    corpora = ", ".join(sorted(facts.corpora)) or "none"
    of_tasks = own_tables(facts.results.tasks)
    sources = [*of_tasks, *([facts.study["cohorts"]] if not of_tasks or facts.study["hospital"] else [])]
    cohorts = f"Cohorts from {', '.join(sources)}, adapters" if facts.results.metrics else "Adapters"
    parts = [f"a file of notes: {', '.join(files)}"] if files else []
    parts += [f"the study's own tables: {', '.join(own)}"] if own else []
    if not parts:
        parts.append(f"all of {origin}")
    elif facts.study["hospital"]:
        parts.append(f"the rest of {origin}")
    return f"{cohorts} from {corpora}; {'; '.join(parts)}."


def _own_tables(facts: RunFacts) -> list[str]:
    """The study's own tables: those of its tasks, and those that only adapters learn from."""
    return list(dict.fromkeys([*own_tables(facts.results.tasks), *facts.study.get("tables", {})]))


def _own_files(facts: RunFacts) -> list[str]:
    """Corpora that are files of notes, and no tables."""
    return sorted(facts.corpora & set(facts.study["note_files"]) - set(_own_tables(facts)))


def _eligibility(facts: RunFacts) -> str:
    steps = sum(map(len, facts.results.attrition.values()))
    return f"Table attrition and its figure: the {steps} steps to the cohorts."


def _preparation(facts: RunFacts) -> str:
    if not facts.results.is_of_hospital:
        return "Text and labels as the study's own tables hold them. The leakage check ran before any table."
    on = [name for name, value in facts.study["switches"].items() if value]
    switches = f"; as in the original: {', '.join(on)}" if on else "; nothing as in the original"
    return f"Protocol {facts.study['protocol']} (docs/protocol.md){switches}. The leakage check ran before any table."


def _outcomes(facts: RunFacts) -> str:
    tasks = facts.results.tasks
    own = [name for name, task in tasks.items() if task.is_own]
    of_protocol = "defined in docs/protocol.md, from codes and times of the tables, without judgement"
    of_study = "as the study's own columns of labels say (section tasks of its config)"
    if not own or len(own) == len(tasks):
        return f"{facts.tasks()}: {of_study if own else of_protocol}."
    others = [name for name in tasks if name not in own]
    return f"{listed_labels(others, tasks)}: {of_protocol}; {listed_labels(own, tasks)}: {of_study}."


def _predictors(facts: RunFacts) -> str:
    note = "note at admission" if facts.results.unit == "admission" else "note"
    return f"The text of the {note} alone, cut to the context of the recipe; no other predictor."


def _sample_size(facts: RunFacts) -> str:
    return f"All eligible {facts.results.unit}s; table dataset_statistics."


def _missing(facts: RunFacts) -> str:
    what = "Admissions without a note" if facts.results.unit == "admission" else "Notes without text"
    return f"{what} or label are left out, counted by step in table attrition; nothing is imputed."


def _partition(facts: RunFacts) -> str:
    unit = unit_of_split(facts.study, facts.results.tasks)
    if not facts.results.is_of_hospital:
        return (
            f"{unit[0].upper()}{unit[1:]}; {_splits(facts)}: training, validation (choice of epoch and thresholds), "
            "test (figures). <study>/cohorts/leakage.json."
        )
    own = f" The study's own tables: {_splits(facts)}." if facts.study.get("tables") else ""
    shared = "; there a patient may be in several parts" if facts.study["split_by_admission"] else ""
    return (
        f"{unit[0].upper()}{unit[1:]}, split {facts.study['split']}{shared}: training, validation (choice of epoch and "
        f"thresholds), test (figures). Contamination mode {facts.study['contamination']}; <study>/cohorts/leakage.json."
        f"{own}"
    )


def _splits(facts: RunFacts) -> str:
    """How the study's own tables are split."""
    return splits_of_tables(facts.study) or "as the config says (data.tables)"


def _models(facts: RunFacts) -> str:
    return "Resolved recipe of every run in <study>/recipes and in this report; training curves in <study>/training."


def _measures(facts: RunFacts) -> str:
    level, metric = f"{facts.results.comparison['level']:.0%}", facts.results.metric
    listed = "AUROC, AUPRC, F1, Brier score and log-loss"
    if metric not in MAIN_METRICS:
        listed = f"{metric.title}, {listed}"
    return (
        f"{listed} in tables metrics and multilabel_metrics; {level} bootstrap intervals over patients, "
        f"{number(facts.results.comparison['resamples'])} resamples, and over patients and seeds in "
        "table uncertainty; models compared in pairs over both, with Holm's correction over a comparison's pairs and "
        "tasks."
    )


def _updating(facts: RunFacts) -> str | None:
    return "Recalibration fitted on validation: table calibration." if "calibration" in facts.tables else None


def _predictions(facts: RunFacts) -> str:
    return f"Scores and logits of every validation and test {facts.results.unit} in <study>/predictions."


def _imbalance(facts: RunFacts) -> str:
    weighted = {bool(run["recipe"].get("recipe", {}).get("class_weights")) for run in facts.results.metrics}
    used = "in all" if weighted == {True} else "in none" if weighted == {False} else "in some"
    return f"Shares of the classes in table cohort_details; losses weighted by class {used} of the runs. No resampling."


def _fairness(facts: RunFacts) -> str | None:
    return "Gaps between groups of patients: table subgroups." if "subgroups" in facts.tables else None


def _output(facts: RunFacts) -> str:
    return "A probability per class; decision thresholds chosen on validation, in <study>/metrics (threshold)."


def _differences(facts: RunFacts) -> str:
    unit = unit_of_split(facts.study, facts.results.tasks)
    if not facts.results.is_of_hospital:
        number_of = counted(len(_own_tables(facts)), "source")
        return f"{number_of.capitalize()}, split {unit}: {_splits(facts)}; table dataset_statistics."
    if tables := _own_tables(facts):
        return f"{len(tables) + 1} sources, each split {unit}; {_splits(facts)}; table dataset_statistics."
    return f"One hospital, split {unit}: the same setting, eligibility and definitions; table dataset_statistics."


def _protocol(facts: RunFacts) -> str:
    if not facts.results.is_of_hospital:
        return "The study's config, in the report, at the git revision below."
    return "docs/protocol.md and the study's config, at the git revision below."


def _data_access(facts: RunFacts) -> str:
    owned = [*_own_tables(facts), *_own_files(facts)]
    parts = [f"By the owners of the notes: {', '.join(owned)}."] if owned else []
    if facts.study["synthetic"]:
        parts.append("Generated by the workflow from a seed.")
    elif facts.study["hospital"]:
        parts.append("MIMIC, from PhysioNet, to credentialed users (docs/data.md).")
    return " ".join(parts)


def _code(facts: RunFacts) -> str:
    versions = facts.provenance.get("versions of the training jobs") or UNKNOWN_ENVIRONMENT["versions"]
    listed = ", ".join(f"{name} {versions.get(name, UNKNOWN)}" for name in ("torch", "transformers", "peft"))
    revision = facts.provenance.get("git revision", UNKNOWN)
    return f"This repository, git revision {revision}; trained with {listed}; all versions in the report."


def _flow(facts: RunFacts) -> str:
    return "Figure attrition."


def _characteristics(facts: RunFacts) -> str:
    units = f"{facts.results.unit}s".capitalize()
    return f"{units}, patients, classes and lengths of notes: tables cohort_details and text_lengths."


def _events(facts: RunFacts) -> str:
    counted, tasks = {run["task"]: run for run in facts.results.metrics}, facts.results.tasks
    parts = [
        f"{task_label(task, tasks)} {number(run['n']['test'])} ({_positives(run['positives']['test'])})"
        for task, run in sorted(counted.items(), key=lambda item: task_order(tasks).index(item[0]))
    ]
    return f"Test {facts.results.unit}s (events): {'; '.join(parts) or 'none'}. Training: table dataset_statistics."


def _positives(count: int | Sequence[int | None] | None) -> str:
    """Events in all, or by class; of many classes the most frequent."""
    if not isinstance(count, Sequence):
        return number(count)
    if len(count) <= MOST_CLASSES:
        return " / ".join(map(number, count))
    largest = sorted((one for one in count if one is not None), reverse=True)[:MOST_CLASSES]
    return f"{' / '.join(map(number, largest))} and {number(len(count) - len(largest))} other classes"


def _specification(facts: RunFacts) -> str:
    return "Adapters and heads as safetensors in <study>/adapters and <study>/models; loading in docs/models.md."


def _performance(facts: RunFacts) -> str:
    macro = [row for row in facts.results.comparison["summaries"] if row["task"] != MACRO]
    groups = "; groups in table subgroups" if "subgroups" in facts.tables else "; groups of patients not yet measured"
    return f"{len(macro)} figures with intervals in tables downstream_main and downstream_lora_baselines{groups}."


def _limitations(facts: RunFacts) -> str:
    return "Section Limits of the report."


EVIDENCE: Mapping[str, Callable[[RunFacts], str | None]] = {
    "aims": _aims,
    "sources": _sources,
    "eligibility": _eligibility,
    "preparation": _preparation,
    "outcomes": _outcomes,
    "predictors": _predictors,
    "sample_size": _sample_size,
    "missing": _missing,
    "partition": _partition,
    "models": _models,
    "measures": _measures,
    "updating": _updating,
    "predictions": _predictions,
    "imbalance": _imbalance,
    "fairness": _fairness,
    "output": _output,
    "differences": _differences,
    "protocol": _protocol,
    "data_access": _data_access,
    "code": _code,
    "flow": _flow,
    "characteristics": _characteristics,
    "events": _events,
    "specification": _specification,
    "performance": _performance,
    "limitations": _limitations,
}

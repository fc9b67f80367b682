"""A TRIPOD+AI evidence sheet: what a run can say to each item, and which items are left to the authors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.report.tripod_items import ITEMS, Item
from clinical_peft.runtime.provenance import UNKNOWN, UNKNOWN_ENVIRONMENT
from clinical_peft.tables.form import TASK_LABELS, Table, counted, number, unit_of_split

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
            switches.
        attrition: By task, the ordered steps of its cohort.
        perplexities: Content of the perplexity files.
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        metrics: Content of the metrics files.
        tables: The study's tables by name.
        provenance: git revision, versions and machine of the training jobs.
    """

    study: Mapping[str, Any]
    attrition: Mapping[str, Sequence[Mapping[str, Any]]]
    perplexities: Sequence[Mapping[str, Any]]
    aggregate: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    tables: Mapping[str, Table]
    provenance: Mapping[str, Any]

    def tasks(self) -> str:
        """The study's tasks as text."""
        return ", ".join(TASK_LABELS[row["task"]] for row in self.tables["dataset_statistics"].records) or "none"


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
    if item.evidence in OF_OUTCOMES and not facts.metrics:
        return (item.number, item.section, item.asks, "The study predicts no outcome.", NONE)
    found = EVIDENCE[item.evidence](facts) if item.evidence else None
    status = OPEN if found is None else PARTLY if item.open else FILLED
    left = f"AUTHOR INPUT NEEDED{': ' + item.open if item.open else ''}."
    text = left if found is None else f"{found} {left}" if item.open else found
    return (item.number, item.section, item.asks, text, status)


def _aims(facts: RunFacts) -> str:
    adapters = f"Development and internal evaluation: {counted(len(facts.perplexities), 'adapter')} of language models"
    models = counted(len({run["model"] for run in facts.metrics}), "model")
    return f"{adapters}, and {models} of {facts.tasks()}." if facts.metrics else f"{adapters}."


def _sources(facts: RunFacts) -> str:
    files = sorted({row["corpus"] for row in facts.perplexities} & set(facts.study["note_files"]))
    origin = "a synthetic hospital (no patients)" if facts.study["synthetic"] else "MIMIC"
    corpora = ", ".join(sorted({row["corpus"] for row in facts.perplexities})) or "none"
    cohorts = f"Cohorts from {facts.study['cohorts']}, adapters" if facts.metrics else "Adapters"
    where = f"all of {origin}" if not files else f"a file of notes: {', '.join(files)}"
    if files and facts.study["hospital"]:
        where += f"; the rest of {origin}"
    return f"{cohorts} from {corpora}; {where}."


def _eligibility(facts: RunFacts) -> str:
    return f"Table attrition and its figure: the {sum(map(len, facts.attrition.values()))} steps to the cohorts."


def _preparation(facts: RunFacts) -> str:
    on = [name for name, value in facts.study["switches"].items() if value]
    switches = f"; as in the original: {', '.join(on)}" if on else "; nothing as in the original"
    return f"Protocol {facts.study['protocol']} (docs/protocol.md){switches}. The leakage check ran before any table."


def _outcomes(facts: RunFacts) -> str:
    return f"{facts.tasks()}: defined in docs/protocol.md, from codes and times of the tables, without judgement."


def _predictors(facts: RunFacts) -> str:
    return "The text of the note at admission alone, cut to the context of the recipe; no other predictor."


def _sample_size(facts: RunFacts) -> str:
    return "All eligible admissions; table dataset_statistics."


def _missing(facts: RunFacts) -> str:
    return "Admissions without a note or label are left out, counted by step in table attrition; nothing is imputed."


def _partition(facts: RunFacts) -> str:
    unit = unit_of_split(facts.study)
    shared = "; there a patient may be in several parts" if facts.study["split_by_admission"] else ""
    return (
        f"{unit[0].upper()}{unit[1:]}, split {facts.study['split']}{shared}: training, validation (choice of epoch and "
        f"thresholds), test (figures). Contamination mode {facts.study['contamination']}; <study>/cohorts/leakage.json."
    )


def _models(facts: RunFacts) -> str:
    return "Resolved recipe of every run in <study>/recipes and in this report; training curves in <study>/training."


def _measures(facts: RunFacts) -> str:
    level = f"{facts.aggregate['level']:.0%}"
    return (
        f"AUROC, AUPRC, F1, Brier score and log-loss in tables metrics and multilabel_metrics; {level} bootstrap "
        f"intervals over patients, {number(facts.aggregate['resamples'])} resamples, and over patients and seeds in "
        "table uncertainty; models compared in pairs over both, with Holm's correction over a comparison's pairs and "
        "tasks."
    )


def _updating(facts: RunFacts) -> str | None:
    return "Recalibration fitted on validation: table calibration." if "calibration" in facts.tables else None


def _predictions(facts: RunFacts) -> str:
    return "Scores and logits of every validation and test admission in <study>/predictions."


def _imbalance(facts: RunFacts) -> str:
    weighted = {bool(run["recipe"].get("recipe", {}).get("class_weights")) for run in facts.metrics}
    used = "in all" if weighted == {True} else "in none" if weighted == {False} else "in some"
    return f"Shares of the classes in table cohort_details; losses weighted by class {used} of the runs. No resampling."


def _fairness(facts: RunFacts) -> str | None:
    return "Gaps between groups of patients: table subgroups." if "subgroups" in facts.tables else None


def _output(facts: RunFacts) -> str:
    return "A probability per class; thresholds of F1 chosen on validation, in <study>/metrics (threshold)."


def _differences(facts: RunFacts) -> str:
    unit = unit_of_split(facts.study)
    return f"One hospital, split {unit}: the same setting, eligibility and definitions; table dataset_statistics."


def _protocol(facts: RunFacts) -> str:
    return "docs/protocol.md and the study's config, at the git revision below."


def _data_access(facts: RunFacts) -> str:
    files = sorted({row["corpus"] for row in facts.perplexities} & set(facts.study["note_files"]))
    parts = [f"By the owners of the notes: {', '.join(files)}."] if files else []
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
    return "Admissions, patients, classes and lengths of notes: tables cohort_details and text_lengths."


def _events(facts: RunFacts) -> str:
    counted = {run["task"]: run for run in facts.metrics}
    parts = [
        f"{TASK_LABELS[task]} {number(run['n']['test'])} ({_positives(run['positives']['test'])})"
        for task, run in sorted(counted.items(), key=lambda item: list(TASK_LABELS).index(item[0]))
    ]
    return f"Test admissions (events): {'; '.join(parts) or 'none'}. Training: table dataset_statistics."


def _positives(count: int | Sequence[int | None] | None) -> str:
    return " / ".join(map(number, count)) if isinstance(count, Sequence) else number(count)


def _specification(facts: RunFacts) -> str:
    return "Adapters and heads as safetensors in <study>/adapters and <study>/models; loading in docs/models.md."


def _performance(facts: RunFacts) -> str:
    macro = [row for row in facts.aggregate["summaries"] if row["task"] != MACRO]
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

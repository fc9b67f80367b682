"""The card of a clinical adapter at the end of a study: what it is, what it gives downstream, and who may have it.

The card that lies beside the adapter is written when it is trained; this one also knows what models built on the
adapter predict. It is Markdown with the metadata block of the Hugging Face Hub.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from clinical_peft.config.study import MIMIC_CORPORA
from clinical_peft.data.hash_split import SPLITS
from clinical_peft.runtime.provenance import UNKNOWN, UNKNOWN_ENVIRONMENT, Environment, describe_machines
from clinical_peft.tables.form import in_order, label_of, number, unit_of_split
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import task_label, task_order

MIMIC_LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
MIMIC_METADATA = {
    "license": "other",
    "license_name": "physionet-credentialed-health-data-license-1.5.0",
    "license_link": "https://physionet.org/content/mimic-iv-note/view-license/2.2/",
}
HUB_METRICS = {"auroc": "roc_auc"}  # metrics that the Hub calls otherwise


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the cards of a study share.

    Attributes:
        study: study (name), protocol, contamination, split, split_by_admission (tasks), synthetic (bool),
            note_files (names of corpora that are files) and further settings.
        sources: By base, where its weights come from: an identifier on the Hub, or None.
        models: By adapter, the models built on it.
        results: The study's tasks, metric, labels, comparison and perplexities.
        provenance: git revision.
        environments: By adapter, versions and machine of the job that trained it, as
            `clinical_peft.runtime.provenance.together` returns them; unknown for those left out.
    """

    study: Mapping[str, Any]
    sources: Mapping[str, str | None]
    models: Mapping[str, Sequence[str]]
    results: StudyResults
    provenance: Mapping[str, Any]
    environments: Mapping[str, Environment] = field(default_factory=dict)


def model_card(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    """Return the card of one adapter as Markdown.

    Args:
        adapter: Content of its perplexity file.
        facts: What the cards of the study share.
    """
    rows = _downstream(adapter["adapter"], facts)
    parts = [
        f"---\n{_metadata(adapter, facts, rows)}---",
        f"# {adapter['adapter']}",
        _summary(adapter, facts),
        "## Intended use\n\n" + _intended_use(adapter, facts),
        "## Data\n\n" + _data(adapter, facts),
        "## Recipe\n\n" + _recipe(adapter),
        "## Perplexity per token\n\n" + _perplexity(adapter),
        "## Prediction of outcomes\n\n" + _outcomes(rows, facts),
        "## Limits\n\n" + _limits(adapter, facts),
        "## Licence and privacy\n\n" + _licence(adapter, facts),
        "## Provenance\n\n" + _provenance(adapter, facts),
        "## Use\n\n" + _use(adapter, facts),
    ]
    return "\n\n".join(parts) + "\n"


def _base_name(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    return facts.sources.get(adapter["base"]) or adapter["base"]


def _method(adapter: Mapping[str, Any]) -> str:
    method = adapter["method"]
    return str(method["type"] if isinstance(method, Mapping) else method)


def _from_synthetic(adapter: Mapping[str, Any], facts: CardFacts) -> bool:
    return bool(facts.study["synthetic"]) and adapter["corpus"] not in facts.study["note_files"]


def _from_mimic(adapter: Mapping[str, Any], facts: CardFacts) -> bool:
    return not _from_synthetic(adapter, facts) and adapter["corpus"].startswith(MIMIC_CORPORA)


def _metadata(adapter: Mapping[str, Any], facts: CardFacts, rows: Sequence[Mapping[str, Any]]) -> str:
    if _from_synthetic(adapter, facts):
        licence = {"license": "mit"}
    elif _from_mimic(adapter, facts):
        licence = MIMIC_METADATA
    else:
        licence = {"license": "other", "license_name": "as-the-notes-it-was-trained-on"}
    block = {
        "base_model": _base_name(adapter, facts),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "language": "en",
        **licence,
        "tags": ["clinical-peft", "clinical-notes", _method(adapter)],
        "model-index": [{"name": adapter["adapter"], "results": [_result(row, facts.results) for row in rows]}],
    }
    if not rows:
        del block["model-index"]
    return yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=1000)


def _result(row: Mapping[str, Any], results: StudyResults) -> dict[str, Any]:
    label, metric = task_label(row["task"], results.tasks), results.metric
    return {
        "task": {"type": "text-classification", "name": f"{label} with {row['model']}"},
        "dataset": {"type": row["task"], "name": f"{label}, test split", "split": "test"},
        "metrics": [
            {
                "type": HUB_METRICS.get(metric.name, metric.name),
                "name": metric.title,
                "value": round(row[metric.name], 4),
            }
        ],
    }


def _downstream(name: str, facts: CardFacts) -> list[Mapping[str, Any]]:
    models = in_order(facts.models.get(name, ()), facts.results.labels)
    rows = {(row["model"], row["task"]): row for row in facts.results.comparison["summaries"]}
    found = [rows[model, task] for model in models for task in task_order(facts.results.tasks) if (model, task) in rows]
    return [row for row in found if row[facts.results.metric.name] is not None]


def _summary(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    return (
        f"A {_method(adapter)} adapter for the language model `{_base_name(adapter, facts)}` (revision "
        f"`{adapter['base_revision']}`), trained by next-token prediction on the corpus `{adapter['corpus']}` in the "
        f"study `{facts.study['study']}`. It trains {number(adapter['trainable_parameters'])} of "
        f"{number(adapter['total_parameters'])} parameters."
    )


def _intended_use(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    first = (
        "Testing of this workflow: the notes are made up, and what the adapter learned holds for no patient."
        if _from_synthetic(adapter, facts)
        else "Research on clinical text by people who may read the notes that it was trained on."
    )
    notes = "admission notes" if facts.results.unit == "admission" else "notes"
    return (
        f"- {first}\n"
        f"- As a starting point for predicting outcomes from {notes}, with a head or a second adapter.\n"
        "- Not for care: no figure below shows that acting on a prediction helps a patient, and nobody has tested the "
        "adapter outside its own hospital.\n"
        "- Not for generating notes that someone could take for real ones."
    )


def _data(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    tokens = adapter["tokens"]
    origin = "the synthetic hospital" if _from_synthetic(adapter, facts) else "real notes"
    counted = ", ".join(f"{number(tokens[split])} {split}" for split in SPLITS if split in tokens)
    return (
        f"Corpus `{adapter['corpus']}` of {origin}, split by patient (by note where it names none): {counted} tokens. "
        f"{_protocol_of_data(facts)}"
    )


def _protocol_of_data(facts: CardFacts) -> str:
    unit = unit_of_split(facts.study, facts.results.tasks)
    if not facts.results.is_of_hospital:
        return f"Cohorts of the outcomes are split {unit}."
    return (
        f"Contamination mode `{facts.study['contamination']}`. Cohorts of the outcomes: split "
        f"`{facts.study['split']}`, {unit}."
    )


def _recipe(adapter: Mapping[str, Any]) -> str:
    method, recipe = adapter["method"], adapter.get("job", {}).get("recipe", {})
    settings = {key: value for key, value in method.items() if key != "type"} if isinstance(method, Mapping) else {}
    lines = [f"- {key}: {value}" for key, value in sorted(settings.items())]
    lines += [f"- {key}: {value}" for key, value in sorted(recipe.items()) if value is not None]
    if "updates" in adapter:
        lines.append(f"- updates: {number(adapter['updates'])}, weights kept from update {adapter['kept_update']}")
    return "\n".join([*lines, f"- tokens trained on: {number(adapter['tokens']['trained_on'])}"])


def _perplexity(adapter: Mapping[str, Any]) -> str:
    before, after = adapter["perplexity"]["before"], adapter["perplexity"]["after"]
    lines = [f"| {split} | {number(before.get(split), 3)} | {number(after.get(split), 3)} |" for split in SPLITS]
    return "\n".join(["| split | base | with this adapter |", "|---|---:|---:|", *lines])


def _outcomes(rows: Sequence[Mapping[str, Any]], facts: CardFacts) -> str:
    if not rows:
        return "No model of the study is built on this adapter."
    level, metric = f"{facts.results.comparison['level']:.0%}", facts.results.metric
    lines = [
        f"| model | task | {metric.title} (%) | {level} interval | {facts.results.unit}s | seeds |",
        "|---|---|---:|---|---:|---:|",
    ]
    for row in rows:
        low, high = row["interval"] or (None, None)
        interval = "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
        lines.append(
            f"| {label_of(row['model'], facts.results.labels)} | {task_label(row['task'], facts.results.tasks)} | "
            f"{100 * row[metric.name]:.1f} | {interval} | {number(row['n'])} | {row['seeds']} |"
        )
    note = (
        f"\n\nTest split; mean over seeds, percentile bootstrap over patients alone with "
        f"{number(facts.results.comparison['resamples'])} resamples, which leaves out what another seed would "
        "change. The adapter alone predicts nothing: these are figures of the models built on it."
    )
    return "\n".join(lines) + note


def _limits(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    lines = [
        "- Perplexity is per token of the base's own tokenizer and does not compare with that of other bases.",
        "- Notes of one hospital, in English, in the style of their time; other hospitals write otherwise.",
        "- What the notes say about groups of patients, fairly or not, the adapter has learned too.",
        "- Whether passages of single notes can be drawn out of the weights was not tested here.",
    ]
    if _from_synthetic(adapter, facts):
        lines.insert(
            0, "- The notes are generated: perplexity and outcomes measure the generator as much as the model."
        )
    elif facts.study["synthetic"]:
        lines.insert(0, "- The cohorts are generated: outcomes measure the generator as much as the model.")
    return "\n".join(lines)


def _licence(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    if _from_synthetic(adapter, facts):
        return "Trained on synthetic notes of no patient. MIT licence, as the code."
    if _from_mimic(adapter, facts):
        return (
            f"The weights derive from MIMIC, which is lent under the {MIMIC_LICENCE} and a data use agreement. "
            "Treat them as the notes themselves: share them only with people who hold the same access, through "
            "PhysioNet or a repository that is closed to others, and with no online service that keeps what it is sent."
        )
    return "The weights derive from the notes they were trained on: share them as the agreement on these notes says."


def _provenance(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    trained = facts.environments.get(adapter["adapter"], UNKNOWN_ENVIRONMENT)
    versions = ", ".join(
        f"{name} {trained['versions'].get(name, UNKNOWN)}" for name in ("torch", "transformers", "peft")
    )
    machine = describe_machines(trained["machine"])
    revision, seed = facts.provenance.get("git revision", "unknown"), adapter.get("job", {}).get("seed", "unknown")
    protocol = f"Protocol `{facts.study['protocol']}`" if facts.results.is_of_hospital else "The study"
    return (
        f"Code at git revision `{revision}`; trained with {versions} on: {machine}. "
        f"{protocol}, seed {seed}. The resolved recipe, the curves and the run in MLflow lie "
        "with the study."
    )


def _use(adapter: Mapping[str, Any], facts: CardFacts) -> str:
    base = facts.sources.get(adapter["base"])
    place = f'"{base}", revision="{adapter["base_revision"]}"' if base else '"path/to/base"'
    return f"""```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained({place})
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```"""

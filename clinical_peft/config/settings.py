"""What decides a study's figures, and a digest of it: settings and resolved recipes, without what changes no figure.

A summary that is kept outside the study's folder (`clinical_peft.report.readme_results`) carries the digest, so that it
is found stale when the study's settings, or a default that they resolve to, have changed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from clinical_peft.config.ablations import plain
from clinical_peft.config.experiments import (
    adapters_in_use,
    finetune_job,
    measure_job,
    pretrain_job,
    runs_in_use,
    searches_in_use,
)
from clinical_peft.config.search_spaces import as_record as search_record
from clinical_peft.config.sections import DEFAULT_METRIC
from clinical_peft.config.selected_adapters import external_adapters_in_use, measured_adapters
from clinical_peft.config.study import Study
from clinical_peft.config.tasks import untitled_record
from clinical_peft.config.train_sizes import sized_runs
from clinical_peft.recipes import IDLE_KEYS
from clinical_peft.recipes.job_records import as_record

# Not here: the study's name, labels, tracking, the Hub, the budget, and what the matrix does not select.
SECTIONS = {"contamination", "seed", "data", "synthetic", "cohorts", "leakage", "evaluation", "gaps"}


def deciding_settings(study: Study) -> dict[str, Any]:
    """Settings and resolved recipes of all jobs of a study, JSON-ready.

    What is null or empty is left out, so that a new section that a study does not use changes nothing.

    Args:
        study: The study.

    Raises:
        ConfigError: A recipe has a wrong key or value.
    """
    adapters, runs = adapters_in_use(study), [*runs_in_use(study), *sized_runs(study)]
    bases = {study.adapters[name].base for name in adapters} | {study.models[plain(model)].base for model, _ in runs}
    found = _without_empty(
        {
            **_sections(study),
            "own_tasks": {task.name: untitled_record(task) for task in study.tasks_in_order if task.is_own},
            "switches": study.resolved_switches,
            "seeds": study.matrix.seeds,
            "bases": {
                name: study.bases[name].model_dump(mode="json", exclude={"label", "published"})
                for name in sorted(name for name in bases if name is not None)
            },
            "adapters": {name: as_record(pretrain_job(study, name)) for name in adapters},
            "measured_adapters": {name: as_record(measure_job(study, name)) for name in measured_adapters(study)},
            "external_adapters": {name: str(study.adapters[name].path) for name in external_adapters_in_use(study)},
            "models": {f"{model}/{task}": as_record(finetune_job(study, model, task)) for model, task in runs},
            "searches": {path: search_record(search) for path, search in searches_in_use(study).items()},
        }
    )
    assert isinstance(found, dict)
    return found


def _sections(study: Study) -> dict[str, Any]:
    """Whole sections; the compared metric only where a study chose another, since it was AUROC before one could."""
    found: dict[str, Any] = study.model_dump(mode="json", include=SECTIONS)
    if study.evaluation.metric == DEFAULT_METRIC:
        del found["evaluation"]["metric"]
    return found


def settings_digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of what `deciding_settings` returned.

    Args:
        settings: The settings, as returned or read back from JSON.
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _without_empty(below) for key, below in value.items() if key not in IDLE_KEYS}
        return {key: below for key, below in kept.items() if below not in (None, {}, [])}
    if isinstance(value, list | tuple):
        return [_without_empty(below) for below in value]
    return value

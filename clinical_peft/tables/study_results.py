"""The results of a study that its tables and figures are made from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from clinical_peft.errors import ConfigError
from clinical_peft.files import read_json
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.corpus_counts import read_corpus_counts
from clinical_peft.tables.form import Labels, in_order
from clinical_peft.tables.run_means import RunMeans, means_of_runs
from clinical_peft.tables.study_tasks import Tasks, is_beside_paper, is_of_hospital, unit_of
from clinical_peft.tasks import TASKS

Content = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """What a study found. A rule gives the results that its outputs need; the others are empty, or None.

    Attributes:
        given: Names of the results that a rule gives; None for all.
        labels: By adapter or model, in the order of printing: `label`; `published`, the row of the paper's table,
            written `base/method` for an adapter (optional, defaults to a model's name); `table`, `main` or
            `lora_baselines` (optional, defaults to where the published row stands, else `main`); `of_paper`, whether
            base and notes are the paper's, so that readers see its row beside ours (optional, defaults to no);
            `design` of a model: kind, base, clinical, clinical_mode and task_method (optional).
        protocol: The study's protocol.
        has_paper_cohorts: Whether the cohorts are of the paper's hospital, so that readers see its counts beside ours.
        tasks: The study's tasks by name; those that are built in where a rule gives none.
        metric: The metric by which models are compared.
        bootstrap_seed: Seed of the study's bootstrap.
        statistics: Per task, what `clinical_peft.data.statistics.dataset_statistics` returned: task, classes,
            multilabel, train, validation, test, and where known patients, prevalence, mean_cardinality, mean_words.
        attrition: By task, the ordered steps of its cohort, each {step, unit, rows, patients} and perhaps left_out, or
            joined: the steps of a table that the step joins.
        corpora: By corpus, counts of its notes as they may be published.
        perplexities: Content of the perplexity files.
        training: Content of the training records.
        pooled: By set of pooled notes, its record.
        metrics: Content of the metrics files.
        replicates: Files of their resamples, in the same order.
        comparison: What `clinical_peft.metrics.aggregate.aggregate` returned.
        calibration: What `clinical_peft.metrics.calibrate.calibrate` returned.
        subgroups: What `clinical_peft.metrics.subgroup_gaps.compare_subgroups` returned.
        protocol_gaps: What `clinical_peft.metrics.protocol_gaps.measure_protocol_gaps` returned, or None where the
            study does not measure them.
        contamination: What `clinical_peft.metrics.contamination_gaps.measure_contamination` returned, likewise.
        training_size: What `clinical_peft.metrics.training_size.measure_training_size` returned, likewise.
        predictions: By task and model, the predictions files of its seeds.
        classes: By task, the file of its classes.
        cohorts: By task, the cohort file.
        features: Files of pooled features.
    """

    given: frozenset[str] | None = None
    labels: Labels = field(default_factory=dict)
    protocol: str = ""
    has_paper_cohorts: bool = False
    tasks: Tasks = field(default_factory=lambda: TASKS)
    metric: Metric = COMPARED
    bootstrap_seed: int = 0
    statistics: Sequence[Content] = ()
    attrition: Mapping[str, Sequence[Content]] = field(default_factory=dict)
    corpora: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    perplexities: Sequence[Content] = ()
    training: Sequence[Content] = ()
    pooled: Mapping[str, Content] = field(default_factory=dict)
    metrics: Sequence[Content] = ()
    replicates: Sequence[Path] = ()
    comparison: Content = field(default_factory=dict)
    calibration: Content = field(default_factory=dict)
    subgroups: Content = field(default_factory=dict)
    protocol_gaps: Content | None = None
    contamination: Content | None = None
    training_size: Content | None = None
    predictions: Mapping[str, Mapping[str, Sequence[Path]]] = field(default_factory=dict)
    classes: Mapping[str, Path] = field(default_factory=dict)
    cohorts: Mapping[str, Path] = field(default_factory=dict)
    features: Sequence[Path] = ()

    def check_given(self, what: str, needs: Iterable[str]) -> None:
        """Refuse to build what needs a result that the rule does not give.

        Raises:
            ConfigError: It does.
        """
        for name in needs:
            if self.given is not None and name not in self.given:
                raise ConfigError(f"{what}: needs {name}, which its rule does not read; add it to the rule's inputs")

    @cached_property
    def is_of_hospital(self) -> bool:
        """Whether it has a task or a corpus of MIMIC, real or synthetic, so that the paper's protocol applies."""
        return is_of_hospital(self.tasks.values(), self._corpora)

    @cached_property
    def is_beside_paper(self) -> bool:
        """Whether it has a task or a corpus that the paper has, so that published values stand beside its own."""
        return is_beside_paper(self.tasks.values(), self._corpora)

    def beside_paper(self, text: str) -> str:
        """A text, or nothing in a study beside which readers see no published row."""
        return text if self.shows_published else ""

    def beside_counts(self, text: str) -> str:
        """A text, or nothing in a study beside which readers see no published count of a cohort."""
        return text if self.has_paper_cohorts else ""

    def is_of_paper(self, name: str) -> bool:
        """Whether base and notes of a model or an adapter are the paper's."""
        return bool(self.labels.get(name, {}).get("of_paper"))

    @property
    def shows_published(self) -> bool:
        """Whether readers see the published row of any model or adapter beside ours."""
        return any(map(self.is_of_paper, self.labels))

    @property
    def _corpora(self) -> set[str]:
        return {str(file["corpus"]) for file in self.perplexities if "corpus" in file}

    @cached_property
    def printed_tasks(self) -> Tasks:
        """Tasks of the tables that show the paper's whole: its own, and all built-in ones if it has one or none."""
        is_shown = self.is_beside_paper and (not self.tasks or any(task.is_published for task in self.tasks.values()))
        return {**TASKS, **self.tasks} if is_shown else self.tasks

    @property
    def unit(self) -> str:
        """What a row of a cohort is, in a word."""
        return unit_of(self.tasks.values())

    @property
    def words(self) -> dict[str, str]:
        """What stands for the placeholders of titles and captions."""
        code = "code" if self.is_of_hospital else "label"
        unit = self.unit
        return {
            "metric": self.metric.title,
            **{"unit": unit, "a_unit": f"a{'n' if unit[0] == 'a' else ''} {unit}"},
            **{"units": f"{unit}s", "Units": f"{unit}s".capitalize()},
            **{"code": code, "Code": code.capitalize()},
        }

    @cached_property
    def adapters(self) -> tuple[AdapterFile, ...]:
        """Perplexity files of the adapters, in the order of the labels.

        Raises:
            DataError: One lacks a value, or holds another kind of value.
        """
        by_name = {file["adapter"]: file for file in self.perplexities}
        return tuple(
            AdapterFile.of(by_name[name], f"perplexity of {name}") for name in in_order([*by_name], self.labels)
        )

    @cached_property
    def run_means(self) -> tuple[RunMeans, ...]:
        """Means over the runs of each model on each task, in the order of the tables.

        Raises:
            DataError: Runs may not stand in one table.
        """
        return means_of_runs(self.metrics, self.replicates, self.labels, self.tasks)


_SETTINGS = {"given", "labels", "protocol", "has_paper_cohorts", "tasks", "metric", "bootstrap_seed"}
RESULTS = tuple(one.name for one in fields(StudyResults) if one.name not in _SETTINGS)
OPTIONAL = ("protocol_gaps", "contamination", "training_size")  # measured only where a study asks for them


def _contents(paths: Sequence[Path]) -> list[Content]:
    return [read_json(path) for path in paths]


def _content(paths: Sequence[Path]) -> Content:
    (path,) = paths
    return read_json(path)


def _by_first_part(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by what stands before the first dot of their names."""
    return {path.name.partition(".")[0]: path for path in paths}


def _by_run(paths: Sequence[Path]) -> dict[str, dict[str, list[Path]]]:
    """Files `{model}/{task}/seed{seed}`, by task and model."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        model, task = path.parts[-3:-1]
        found.setdefault(task, {}).setdefault(model, []).append(path)
    return found


_READERS: dict[str, Callable[[Sequence[Path]], Any]] = {
    "statistics": _content,
    "attrition": lambda paths: {task: read_json(path) for task, path in _by_first_part(paths).items()},
    "corpora": lambda paths: {path.stem: read_corpus_counts(path) for path in paths},
    "perplexities": _contents,
    "training": _contents,
    "pooled": lambda paths: {path.stem: read_json(path) for path in paths},
    "metrics": _contents,
    "replicates": tuple,
    "comparison": _content,
    "calibration": _content,
    "subgroups": _content,
    "protocol_gaps": lambda paths: _content(paths) if paths else None,
    "contamination": lambda paths: _content(paths) if paths else None,
    "training_size": lambda paths: _content(paths) if paths else None,
    "predictions": _by_run,
    "classes": _by_first_part,
    "cohorts": _by_first_part,
    "features": tuple,
}


def read_results(given: Any, **settings: Any) -> StudyResults:
    """Read results from the inputs of a rule, which are named as they are.

    Args:
        given: Inputs of a rule; those that are no results are passed over, and results without an input stay empty.
        settings: Labels, protocol, tasks, metric, bootstrap_seed.

    Raises:
        DataError: A file is missing or malformed.
    """
    found = {}
    for name, read in _READERS.items():
        paths: str | Iterable[str] | None = getattr(given, name, None)
        if paths is not None:
            found[name] = read([Path(path) for path in ([paths] if isinstance(paths, str) else paths)])
    return StudyResults(given=frozenset(found), **settings, **found)

"""What the rules of the workflow ask: paths, recipes and settings of a study's jobs, and which names exist."""

import re
from collections.abc import Iterable
from functools import cached_property

from clinical_peft.config.ablations import SIZED, switches_at
from clinical_peft.config.study import Study
from clinical_peft.recipes.switches import Stage
from clinical_peft.sources import hospital_corpora
from clinical_peft.workflow.networks import BaseFiles
from clinical_peft.workflow.reporting import ReportFiles


class StudyFiles(BaseFiles, ReportFiles):
    """Everything that rules ask of a study.

    A method that takes wildcards is an input, a parameter or a number of threads of a job. Paths are strings below
    `results/{study}`, with `[]` where a job does without an input.

    Args:
        study: The validated study.

    Example:
        >>> from types import SimpleNamespace
        >>> files = StudyFiles(Study(study="mine"))
        >>> files.cohort_notes(SimpleNamespace(task="los@marks_kept"))
        'results/mine/notes/admission@marks_kept.parquet'
    """

    @cached_property
    def names(self) -> "WildcardPatterns":
        """Patterns of the names that each wildcard may stand for."""
        return WildcardPatterns(self.study, feature_sets=self.feature_sets)


class WildcardPatterns:
    """Regular expressions for wildcards.

    A name may carry a switch where the switch changes the work of its stage, and a model's a training size.

    Args:
        study: The study.
        feature_sets: Names of the sets of pooled features.
    """

    def __init__(self, study: Study, *, feature_sets: Iterable[str]) -> None:
        hospital: tuple[Stage, ...] = ("corpus",)
        corpus: tuple[Stage, ...] = ("corpus", "shards")
        adapter: tuple[Stage, ...] = (*corpus, "adapter")
        self.corpus = _switched(study.corpora, *corpus)
        self.hospital_corpus = _switched(hospital_corpora(), *hospital)
        self.note_file = _one_of(study.data.note_files)
        self.paired_source = _one_of([study.cohorts.source])
        self.admission = _switched(["admission"], "admission")
        in_tables = [name for name in study.tasks if study.table_of(name) is not None]
        self.table = _one_of(study.data.tables)
        self.table_task = _one_of(in_tables)
        self.hospital_task = _switched((name for name in study.tasks if name not in in_tables), "admission", "cohort")
        self.task = f"(?:{self.hospital_task}|{self.table_task})"
        self.base = _one_of(study.bases)
        self.scratch_base = _one_of(name for name in study.bases if name not in study.real_bases)
        self.real_base = _one_of(study.real_bases)
        self.adapter = _switched(study.adapters, *adapter)
        self.external_adapter = _one_of(name for name, each in study.adapters.items() if each.path is not None)
        self.measured_adapter = _one_of(name for name, each in study.adapters.items() if each.is_measured)
        self.trained_adapter = _switched((name for name, each in study.adapters.items() if each.path is None), *adapter)
        self.model = _switched(study.models, *adapter, "model", further=SIZED)
        self.features = _one_of(feature_sets)


def _one_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in names) or "none"


def _switched(names: Iterable[str], *stages: Stage, further: str | None = None) -> str:
    """Names that may carry a switch of these stages, or what matches a further pattern."""
    suffixes = "|".join(filter(None, (_one_of(switches_at(*stages)), further)))
    return f"(?:{_one_of(names)})(?:@(?:{suffixes}))?"

"""What tables, figures, cards, the report and MLflow are given: names, labels and descriptions of a study."""

import json
from functools import cached_property
from typing import Any

from clinical_peft.config import experiments, notes_in_use, settings
from clinical_peft.config.hospital import YearSplit
from clinical_peft.config.selected_adapters import adapter_labels
from clinical_peft.tracking.stores import SQLITE
from clinical_peft.workflow.cohorts import CohortFiles
from clinical_peft.workflow.models import ModelFiles
from clinical_peft.workflow.networks import AdapterFiles
from clinical_peft.workflow.results import ResultFiles
from clinical_peft.workflow.searches import SearchFiles
from clinical_peft.workflow.study_folder import Files, Wildcards

TABLE_FORMATS = ("csv", "md", "tex", "html")
MODEL_TABLES = {"main": "Main comparison", "lora_baselines": "Encoders with LoRA"}
PAPER_TABLES = {"main": " (Table 3)", "lora_baselines": " (Table 4)"}
RESULT_SECTIONS = ("result", "uncertainty", "metrics", "adaptation")
MODEL_DESIGN = ("kind", "base", "clinical", "clinical_mode", "task_method")
MLFLOW_PAGES = "http://127.0.0.1:5000"


class ReportFiles(CohortFiles, AdapterFiles, ModelFiles, SearchFiles, ResultFiles):
    """Tables, cards, report, and run logs for MLflow."""

    def results(self, wildcards: Wildcards | None = None) -> dict[str, Files]:
        """Results that every table and figure may need, by their names in `clinical_peft.tables.study_results`."""
        whole = ("statistics", "comparison", "calibration", "subgroups")
        return {
            **{name: f"{self.root}/{name}.json" for name in whole},
            "attrition": self.attrition(),
            "corpora": self.corpus_logs(),
            "perplexities": self.perplexities(),
            "training": self.training_records(),
            "pooled": self.pooled_records(),
            "metrics": self.metrics(),
            "replicates": self.replicates(),
            "protocol_gaps": self.protocol_gaps(),
            "contamination": self.contamination(),
            "training_size": self.training_size(),
        }

    @property
    def table_names(self) -> list[str]:
        """Stems of the study's tables."""
        # With numpy, which a plan does without.
        from clinical_peft.tables.registry import table_names

        gaps = self.study.gaps
        asked = {"protocol_gaps": gaps.model is not None, "contamination": gaps.contamination is not None}
        asked |= {"training_size": bool(self.sized_runs)}
        return table_names([name for name, is_asked in asked.items() if is_asked], beside_paper=self.is_beside_paper)

    @property
    def result_table_names(self) -> list[str]:
        """Stems of the tables that hold the study's results."""
        return [name for name in self.table_names if _section_of(name) in RESULT_SECTIONS]

    @property
    def further_table_names(self) -> list[str]:
        """Stems of the others: what the results rest on."""
        return [name for name in self.table_names if _section_of(name) not in RESULT_SECTIONS]

    @cached_property
    def is_beside_paper(self) -> bool:
        """Whether a selected task or corpus is of the paper, so that published values stand beside the study's."""
        from clinical_peft.tables.study_tasks import is_beside_paper, tasks_of

        corpora = [self.adapter(name).corpus for name in self.adapters_on_notes]
        return is_beside_paper(tasks_of(self.task_records()).values(), corpora)

    def compared_metric(self, wildcards: Wildcards | None = None) -> str:
        """Name of the metric by which models are compared."""
        return self.study.evaluation.metric

    def tables(self, wildcards: Wildcards | None = None) -> list[str]:
        """Tables in every format."""
        return [f"{self.root}/tables/{name}.{suffix}" for name in self.table_names for suffix in TABLE_FORMATS]

    def cards(self, wildcards: Wildcards | None = None) -> list[str]:
        """Cards of the adapters in use."""
        return self.paths("cards/{}.md", self.adapters_in_use)

    def labels(self, wildcards: Wildcards) -> dict[str, dict[str, Any]]:
        """Display labels, published rows and designs of models, in the order of the matrix, then of adapters."""
        labels: dict[str, dict[str, Any]] = {}
        for name in self.study.matrix.models:
            model = self.model(name)
            labels[name] = {
                "label": model.label,
                "table": model.table,
                "published": model.published,
                "of_paper": self.has_paper_cohorts and self._has_paper_base(model.base),
                "design": model.model_dump(include={*MODEL_DESIGN}),
            }
        for name, label in adapter_labels(self.study).items():
            adapter = self.adapter(name)
            base, method = self.base(adapter.base), None if adapter.path else self.study.method_of(name)
            row = method.published if method else None
            published = f"{base.published}/{row}" if base.published and row else None
            of_paper = self.has_paper_notes and self._has_paper_base(adapter.base)
            labels[name] = {"label": label, "published": published, "of_paper": of_paper}
        return labels

    @property
    def has_paper_notes(self) -> bool:
        """Whether the notes are those of the real MIMIC."""
        return notes_in_use.reads_hospital(self.study) and not notes_in_use.reads_synthetic_notes(self.study)

    @property
    def has_paper_cohorts(self) -> bool:
        """Whether the cohorts are of the paper's hospital: the real MIMIC-III."""
        from clinical_peft.tables.published import PAPER_SOURCE

        return self.has_paper_notes and self.study.cohorts.source == PAPER_SOURCE

    def _has_paper_base(self, name: str | None) -> bool:
        """Whether a base is one of the paper's; a model without a base is none."""
        from clinical_peft.tables.published import PAPER_BASES

        if name is None:
            return False
        base = self.base(name)
        is_claimed = base.published is not None and base.source.kind in ("hub", "local")
        return is_claimed or getattr(base.source, "id", None) in PAPER_BASES

    def models_by_table(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """Selected models by the title of their table."""
        groups: dict[str, list[str]] = {}
        for name in self.study.matrix.models:
            table = self.model(name).table
            title = f"{MODEL_TABLES[table]}{PAPER_TABLES[table] if self.is_beside_paper else ''}"
            groups.setdefault(title, []).append(name)
        return groups

    def models_by_adapter(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """Selected models by the clinical adapter that they are built on."""
        adapters: dict[str, list[str]] = {name: [] for name in self.adapters_in_use}
        for name in self.study.matrix.models:
            clinical = self.model(name).clinical
            if clinical in adapters:
                adapters[clinical].append(name)
        return adapters

    def hub_ids(self, wildcards: Wildcards) -> dict[str, str | None]:
        """Identifiers on the Hub of the bases in use; null for those from elsewhere."""
        used = sorted(experiments.bases_in_use(self.study))
        return {name: getattr(self.base(name).source, "id", None) for name in used}

    def description(self, wildcards: Wildcards) -> dict[str, Any]:
        """What the report, cards and MLflow say of the study as a whole."""
        study = self.study
        splits = {name: self.own_table(name).split.in_words for name in self.tables_in_use}
        return {
            "study": study.study,
            "protocol": study.protocol,
            "contamination": study.contamination,
            "split": "temporal" if isinstance(study.data.splits, YearSplit) else str(study.data.splits),
            "split_by_admission": self.tasks_split_by_admission(),
            "cohorts": study.cohorts.source,
            "synthetic": notes_in_use.reads_synthetic_notes(study),
            "hospital": notes_in_use.reads_hospital(study),
            "note_files": sorted(study.data.files_of_notes),
            "switches": study.resolved_switches,
        } | ({"tables": splits} if splits else {})

    def hospital_provenance(self, wildcards: Wildcards) -> str | None:
        """Record of how the synthetic hospital was made, if it is read."""
        return f"{self.hospital}/PROVENANCE.json" if notes_in_use.reads_synthetic_notes(self.study) else None

    def printed_config(self, wildcards: Wildcards) -> dict[str, Any]:
        """The study's settings for the report, without the address of its tracking server.

        Where nothing of the paper's is at work, without defaults, most of which are about it.
        """
        settings = self.study.model_dump(
            mode="json", exclude={"tracking": {"uri"}}, exclude_defaults=not self.is_beside_paper
        )
        return _in_fixed_order(settings)

    def deciding_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Settings and recipes that decide the study's results."""
        return _in_fixed_order(settings.deciding_settings(self.study))

    # --- MLflow ----------------------------------------------------------------------------------------------------

    def tracking_uri(self, wildcards: Wildcards | None = None) -> str:
        """Address of the study's MLflow store."""
        return self.study.tracking.uri or f"{SQLITE}{self.root}/mlflow.db"

    def mlflow_pages(self, wildcards: Wildcards) -> tuple[str | None, str | None]:
        """Address of MLflow's pages, and the command that serves them where no server does."""
        uri = self.tracking_uri()
        if uri.startswith("http"):
            return uri, None
        if uri.startswith("sqlite:"):
            return MLFLOW_PAGES, f"mlflow ui --backend-store-uri {uri}"
        return None, None

    def run_logs(self, wildcards: Wildcards | None = None) -> list[str]:
        """Run logs of every job that computes, so that each becomes an MLflow run."""
        study = self.study
        adapters = self.adapters_on_notes
        scratch = [base for base in experiments.bases_in_use(study) if experiments.scratch_source(study, base)]
        tokens = {(self.adapter(name).base, self.adapter(name).corpus) for name in adapters}
        return [
            *self.paths("runs/notes/{}.jsonl", self.corpora_in_use),
            *self.paths("runs/cohorts/{}.jsonl", study.matrix.tasks),
            *self.paths("runs/bases/{}.jsonl", scratch),
            *sorted(f"{self.root}/runs/tokens/{base}/{corpus}.jsonl" for base, corpus in tokens),
            *self.adapter_logs(),
            *self.paths("runs/features/{}.jsonl", experiments.feature_sets_in_use(study)),
            *self.run_files("runs/models", "jsonl", [*self.runs, *self.sized_runs]),
            *self.search_logs(),
            *self.ablation_logs(),
        ]

    def model_run_logs(self, wildcards: Wildcards) -> list[str]:
        """Run logs of one model on each of its tasks, scored."""
        runs = [(model, task) for model, task in (*self.runs, *self.sized_runs) if model == wildcards.model]
        return self.run_files("runs/models", "jsonl", runs)

    def tracked_models(self, wildcards: Wildcards | None = None) -> list[str]:
        """What says that the runs of each model are in MLflow."""
        return self.paths("runs/tracked/{}.json", dict.fromkeys(model for model, _ in (*self.runs, *self.sized_runs)))

    def synthetic_adapters(self, wildcards: Wildcards) -> bool:
        """Whether no adapter in use learns from real notes."""
        return notes_in_use.all_adapters_of_synthetic_notes(self.study)


def _in_fixed_order(mapping: dict[str, Any]) -> dict[str, Any]:
    """The mapping with sorted keys, so that the order of a study file's lines makes no job run again."""
    ordered: dict[str, Any] = json.loads(json.dumps(mapping, sort_keys=True))
    return ordered


def _section_of(table: str) -> str:
    """The section of the report that a table stands in."""
    from clinical_peft.tables.registry import find_table

    return find_table(table).section

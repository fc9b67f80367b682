"""What the jobs of bases and clinical adapters read, and the recipes that they follow."""

from pathlib import Path
from typing import Any

from clinical_peft.config import experiments
from clinical_peft.config.ablations import shards_of_adapter
from clinical_peft.config.sections import GgufSource, LocalSource
from clinical_peft.models.base_sources import files_to_watch
from clinical_peft.models.checkpoint_files import ADAPTER_FILES
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.families import Family, find_family
from clinical_peft.recipes.job_records import read_record
from clinical_peft.workflow.study_folder import Files, StudyFolder, Wildcards

# Snakemake compares no parameter of a function that asks for threads or outputs: a job is not run again for the time
# between its checkpoints, nor because a seed is no longer asked for. Such functions take the argument for that alone.


class BaseFiles(StudyFolder):
    """Bases, trained here or with weights from elsewhere."""

    def base_source(self, wildcards: Wildcards) -> dict[str, Any]:
        """Where a base comes from, without the time between checkpoints of its training."""
        source: dict[str, Any] = self.base(wildcards.base).source.model_dump(mode="json")
        recipe = {**source.get("recipe", {})}
        recipe.pop("checkpoint_seconds", None)
        return source | ({"recipe": recipe} if recipe else {})

    def base_files(self, wildcards: Wildcards) -> list[str]:
        """Files that a base is imported from, where it lies on this machine and in no package."""
        source = self.base(wildcards.base).source
        if not isinstance(source, LocalSource | GgufSource) or source.package:
            return []
        found = files_to_watch(source.path) if isinstance(source, LocalSource) else [source.path]
        return [str(path) for path in found]

    def base_family(self, wildcards: Wildcards) -> Family:
        """Family of a base's architecture."""
        return self.base(wildcards.base).family

    def base_precision(self, wildcards: Wildcards) -> str:
        """Type in which weights are kept: that of adapter training; an encoder is small and stays exact."""
        if not find_family(self.base(wildcards.base).family).is_decoder:
            return "fp32"
        precision: str = self.study.pretraining.get("precision", "fp32")
        return "bf16" if precision == "nf4" else precision

    def base_threads(self, wildcards: Wildcards) -> int:
        """Compute threads of a base's training."""
        source = experiments.scratch_source(self.study, wildcards.base)
        return source.recipe.threads if source else 1

    def base_checkpoint_seconds(self, wildcards: Wildcards, threads: int) -> float | None:
        """Seconds between checkpoints of a base's training."""
        source = experiments.scratch_source(self.study, wildcards.base)
        return source.recipe.checkpoint_seconds if source else None

    def real_bases(self, wildcards: Wildcards | None = None) -> list[str]:
        """Bases in use whose weights come from elsewhere."""
        return self.paths("bases/{}", experiments.real_bases_in_use(self.study))

    def model_bases(self, wildcards: Wildcards | None = None) -> list[str]:
        """Bases of the selected models, whose tokenizers read the cohorts' notes."""
        used = {self.model(name).base for name in self.study.matrix.models}
        return self.paths("bases/{}", sorted(base for base in used if base is not None))


class AdapterFiles(StudyFolder):
    """Clinical adapters."""

    def adapter_base(self, wildcards: Wildcards) -> str:
        """Base of an adapter."""
        return f"{self.root}/bases/{self.adapter(wildcards.adapter).base}"

    def external_adapter_folder(self, wildcards: Wildcards) -> str:
        """Folder of an adapter that exists already."""
        return str(self.adapter(wildcards.adapter).path)

    def external_adapter_files(self, wildcards: Wildcards) -> list[str]:
        """Files of an adapter that exists already, its configuration whether it is there or not."""
        config, weights = (Path(self.external_adapter_folder(wildcards)) / name for name in ADAPTER_FILES)
        return [str(config), *([str(weights)] if weights.is_file() else [])]

    def adapter_tokens(self, wildcards: Wildcards) -> str:
        """Token shards that train an adapter, or that it is measured on."""
        base = self.adapter(wildcards.adapter).base
        return f"{self.root}/tokens/{base}/{shards_of_adapter(self.study, wildcards.adapter)}"

    def adapter_general_text(self, wildcards: Wildcards) -> Files:
        """General text on which an adapter's forgetting is measured, if the study has any for its base."""
        corpus = experiments.general_corpus(self.study, self.adapter(wildcards.adapter).base)
        return f"{self.root}/notes/{corpus}.parquet" if corpus else []

    def adapter_job(self, wildcards: Wildcards) -> dict[str, Any]:
        """What an adapter's result depends on, as a record."""
        return read_record(self._pretrain_job(wildcards))

    def measure_job(self, wildcards: Wildcards) -> dict[str, Any]:
        """What the perplexities of an adapter that exists already depend on, as a record."""
        self.adapter(wildcards.adapter)
        return read_record(experiments.measure_job(self.study, wildcards.adapter))

    def measure_threads(self, wildcards: Wildcards) -> int:
        """Compute threads of measuring them."""
        return experiments.recipe_on_notes(self.study, wildcards.adapter).threads

    def adapter_threads(self, wildcards: Wildcards) -> int:
        """Compute threads of all processes that train an adapter."""
        recipe = self._pretrain_job(wildcards).recipe
        return recipe.devices.processes * recipe.threads

    def adapter_trial_threads(self, wildcards: Wildcards) -> int:
        """Compute threads of a trial, which one process trains."""
        return self._pretrain_job(wildcards).recipe.threads

    def adapter_checkpoint_seconds(self, wildcards: Wildcards, threads: int) -> float | None:
        """Seconds between checkpoints of an adapter's training."""
        return self._pretrain_job(wildcards).recipe.checkpoint_seconds

    def _pretrain_job(self, wildcards: Wildcards) -> PretrainJob:
        self.adapter(wildcards.adapter)
        return experiments.pretrain_job(self.study, wildcards.adapter)

    def adapters(self, wildcards: Wildcards | None = None) -> list[str]:
        """Folders of the adapters in use."""
        return self.paths("adapters/{}", self.adapters_in_use)

    def perplexities(self, wildcards: Wildcards | None = None) -> list[str]:
        """Perplexities of the adapters on notes."""
        return self.paths("perplexity/{}.json", self.adapters_on_notes)

    def adapter_logs(self, wildcards: Wildcards | None = None) -> list[str]:
        """Run logs of the adapters on notes."""
        return self.paths("runs/adapters/{}.jsonl", self.adapters_on_notes)

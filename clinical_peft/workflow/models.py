"""What the jobs of models read, and the recipes that they follow."""

from functools import cached_property
from typing import Any

from clinical_peft.config import experiments
from clinical_peft.config.ablations import adapter_of_model, plain, protocol_of_run, size_of
from clinical_peft.errors import ConfigError
from clinical_peft.recipes import FinetuneJob, PoolJob
from clinical_peft.recipes.job_records import read_record
from clinical_peft.workflow.study_folder import Files, StudyFolder, Wildcards

# Snakemake compares no parameter of a function that asks for threads or outputs: a job is not run again for the time
# between its checkpoints, nor because a seed is no longer asked for. Such functions take the argument for that alone.

OUTPUTS = (("predictions", ".parquet"), ("models", ""), ("training", ".json"), ("runs/finetune", ".jsonl"))
"""Folder and suffix of a seed's outputs, in the order of `clinical_peft.training.kept_seeds.SeedOutputs`."""


class ModelFiles(StudyFolder):
    """Models, and the features that heads alone are trained on."""

    @cached_property
    def feature_sets(self) -> dict[str, tuple[str, list[str]]]:
        """Every set of pooled features: a model that reads it, and the tasks that need it."""
        return experiments.feature_sets(self.study)

    def _feature_set(self, name: str) -> tuple[str, list[str]]:
        return self._entry("pooled features", name, self.feature_sets)

    def feature_base(self, wildcards: Wildcards) -> str:
        """Base that pools a set of features."""
        model, _ = self._feature_set(wildcards.features)
        return f"{self.root}/bases/{self.model(model).base}"

    def feature_adapter(self, wildcards: Wildcards) -> Files:
        """Clinical adapter on that base, if there is one."""
        model, _ = self._feature_set(wildcards.features)
        return self._adapter_folder(self.model(model).clinical)

    def feature_cohorts(self, wildcards: Wildcards) -> list[str]:
        """Cohorts whose notes are pooled."""
        _, tasks = self._feature_set(wildcards.features)
        return self.paths("cohorts/{}.parquet", tasks)

    def feature_job(self, wildcards: Wildcards) -> dict[str, Any]:
        """What the pooled features depend on, as a record."""
        return read_record(self._pool_job(wildcards))

    def feature_threads(self, wildcards: Wildcards) -> int:
        """Compute threads of pooling."""
        return self._pool_job(wildcards).threads

    def _pool_job(self, wildcards: Wildcards) -> PoolJob:
        model, tasks = self._feature_set(wildcards.features)
        job = experiments.pool_job(self.study, model, tasks[0])
        if job is None:
            raise ConfigError(f"study {self.study.study}: model {model} trains more than a head, and pools no features")
        return job

    def model_base(self, wildcards: Wildcards) -> Files:
        """Base of a model; none for one without a network."""
        base = self.model(wildcards.model).base
        return f"{self.root}/bases/{base}" if base else []

    def clinical_adapter(self, wildcards: Wildcards) -> Files:
        """Clinical adapter of a model, if it has one."""
        self.model(wildcards.model)
        return self._adapter_folder(adapter_of_model(self.study, wildcards.model))

    def _adapter_folder(self, name: str | None) -> Files:
        return f"{self.root}/adapters/{name}" if name else []

    def model_features(self, wildcards: Wildcards) -> Files:
        """Pooled features of a model that trains nothing but a head."""
        self.model(wildcards.model)
        name = experiments.feature_set(self.study, wildcards.model, wildcards.task)
        return f"{self.root}/features/{name}.safetensors" if name else []

    def whole_run(self, wildcards: Wildcards) -> Files:
        """Outputs, seed by seed, of the run on the whole training split, which a run on a part may turn out to be."""
        if size_of(wildcards.model) is None:
            return []
        stem = f"{plain(wildcards.model)}/{wildcards.task}"
        return [
            f"{self.root}/{folder}/{stem}/seed{seed}{suffix}"
            for seed in self.study.matrix.seeds
            for folder, suffix in OUTPUTS
        ]

    def finetune_job(self, wildcards: Wildcards) -> dict[str, Any]:
        """What a model's result on a task depends on, as a record."""
        return read_record(self._finetune_job(wildcards))

    def finetune_threads(self, wildcards: Wildcards) -> int:
        """Compute threads of fine-tuning."""
        return self._finetune_job(wildcards).recipe.threads

    def finetune_checkpoint_seconds(self, wildcards: Wildcards, threads: int) -> float | None:
        """Seconds between checkpoints of fine-tuning."""
        return self._finetune_job(wildcards).recipe.checkpoint_seconds

    def _finetune_job(self, wildcards: Wildcards) -> FinetuneJob:
        self.model(wildcards.model)
        task = plain(wildcards.task)
        self._entry("task", task, self.study.tasks)
        return experiments.finetune_job(self.study, wildcards.model, task)

    def run_protocol(self, wildcards: Wildcards) -> str:
        """Name of the protocol that a model on a task follows."""
        return protocol_of_run(self.study, wildcards.model, wildcards.task)

    def seeds(self, wildcards: Wildcards, output: object) -> list[int]:
        """Seeds of the study, in the order of a job's outputs."""
        return self.study.matrix.seeds

    def pooled_features(self, wildcards: Wildcards | None = None) -> list[str]:
        """Pooled features of the selected runs."""
        return self.paths("features/{}.safetensors", experiments.feature_sets_in_use(self.study))

    def pooled_records(self, wildcards: Wildcards | None = None) -> list[str]:
        """What pooling them took."""
        return self.paths("features/{}.json", experiments.feature_sets_in_use(self.study))

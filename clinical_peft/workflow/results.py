"""What the jobs that compare finished runs read: those of the matrix, of ablations, contamination and train sizes."""

from collections.abc import Iterable
from functools import cached_property

from clinical_peft.config import experiments
from clinical_peft.config.ablations import Ablation, ablation_inputs, ablations_in_use, plain, size_of, untouched_tasks
from clinical_peft.config.train_sizes import sized_runs
from clinical_peft.workflow.study_folder import Files, StudyFolder, Wildcards

MOST_RESAMPLES_OF_GROUPS = 1000


class ResultFiles(StudyFolder):
    """Files of every run, which is one model on one task with all its seeds."""

    def run_files(self, folder: str, suffix: str, runs: Iterable[tuple[str, str]]) -> list[str]:
        """Return one file for each seed of each run.

        Args:
            folder: Folder below the root.
            suffix: Ending of the files, without its dot.
            runs: Model and task of each run.
        """
        return [
            f"{self.root}/{folder}/{model}/{task}/seed{seed}.{suffix}"
            for model, task in runs
            for seed in self.study.matrix.seeds
        ]

    @cached_property
    def runs(self) -> list[tuple[str, str]]:
        """Model and task of every run that the matrix selects."""
        return experiments.runs_in_use(self.study)

    def predictions(self, wildcards: Wildcards | None = None) -> list[str]:
        """Predictions of the selected runs."""
        return self.run_files("predictions", "parquet", self.runs)

    def metrics(self, wildcards: Wildcards | None = None) -> list[str]:
        """Metrics of the selected runs."""
        return self.run_files("metrics", "json", self.runs)

    def replicates(self, wildcards: Wildcards | None = None) -> list[str]:
        """Bootstrap replicates of the selected runs."""
        return self.run_files("replicates", "parquet", self.runs)

    def training_records(self, wildcards: Wildcards | None = None) -> list[str]:
        """How the selected runs were trained."""
        return self.run_files("training", "json", self.runs)

    def group_resamples(self, wildcards: Wildcards) -> int:
        """Resamples for calibration and subgroups, whose intervals are read and not corrected for many comparisons."""
        return min(MOST_RESAMPLES_OF_GROUPS, self.study.evaluation.resamples)

    # --- ablations -------------------------------------------------------------------------------------------------

    @cached_property
    def ablations(self) -> list[Ablation]:
        """Runs of the model of `gaps` under each switch."""
        return ablations_in_use(self.study)

    def ablation_runs(self, wildcards: Wildcards | None = None) -> list[tuple[str, str, str | None, str]]:
        """Switch, task, model and cohort of the corrected runs, then of every ablation."""
        tasks = dict.fromkeys(each.task for each in self.ablations)
        corrected = [("corrected", task, self.study.gaps.model, task) for task in tasks]
        return [*corrected, *((each.switch, each.task, each.model, each.cohort) for each in self.ablations)]

    def _ablated(self) -> list[tuple[str, str]]:
        return [(str(model), cohort) for _, _, model, cohort in self.ablation_runs()]

    def ablation_metrics(self, wildcards: Wildcards) -> list[str]:
        """Metrics of those runs."""
        return self.run_files("metrics", "json", self._ablated())

    def ablation_replicates(self, wildcards: Wildcards) -> list[str]:
        """Bootstrap replicates of those runs."""
        return self.run_files("replicates", "parquet", self._ablated())

    def ablation_cohorts(self, wildcards: Wildcards) -> list[str]:
        """Cohort of each of those runs."""
        return self.paths("cohorts/{}.parquet", (cohort for _, cohort in self._ablated()))

    def untouched_tasks(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """By switch, the tasks that it cannot change."""
        return untouched_tasks(self.study)

    def ablation_logs(self) -> list[str]:
        """Run logs of the adapters and runs that exist for ablations alone."""
        inputs = ablation_inputs(self.study)
        adapters = self.paths("runs/adapters/{}.jsonl", inputs.adapters)
        return [*adapters, *self.run_files("runs/models", "jsonl", inputs.runs)]

    def protocol_gaps(self, wildcards: Wildcards | None = None) -> Files:
        """Effects of the original's choices, if the study asks for them."""
        return f"{self.root}/protocol_gaps.json" if self.study.gaps.model else []

    # --- contamination ---------------------------------------------------------------------------------------------

    def contamination_models(self, wildcards: Wildcards | None = None) -> dict[str, str]:
        """Models that show the effect of pretraining on test patients' notes, by their part in the comparison."""
        return dict(self.study.gaps.contamination or ())

    def contamination_metrics(self, wildcards: Wildcards) -> list[str]:
        """Metrics of the runs of those models."""
        return self.run_files("metrics", "json", self._contamination_runs())

    def contamination_predictions(self, wildcards: Wildcards) -> list[str]:
        """Predictions of the runs of those models."""
        return self.run_files("predictions", "parquet", self._contamination_runs())

    def _contamination_runs(self) -> list[tuple[str, str]]:
        models = self.contamination_models().values()
        tasks = self.study.hospital_tasks
        return [(model, task) for model, task in self.runs if model in models and task in tasks]

    def contamination(self, wildcards: Wildcards | None = None) -> Files:
        """Effects of contamination, if the study asks for them."""
        return f"{self.root}/contamination.json" if self.study.gaps.contamination else []

    # --- parts of the training split -------------------------------------------------------------------------------

    @cached_property
    def sized_runs(self) -> list[tuple[str, str]]:
        """Model with its size, and task, of every run on a part of the training split."""
        return sized_runs(self.study)

    def _whole_and_sized(self) -> list[tuple[str, str]]:
        return [*self.runs, *self.sized_runs] if self.sized_runs else []

    def training_size_runs(self, wildcards: Wildcards | None = None) -> list[tuple[str, str, int | None]]:
        """Model, task and size of the runs on whole training splits, then of every run on a part."""
        return [(plain(model), task, size_of(model)) for model, task in self._whole_and_sized()]

    def training_size_metrics(self, wildcards: Wildcards) -> list[str]:
        """Metrics of those runs."""
        return self.run_files("metrics", "json", self._whole_and_sized())

    def training_size_replicates(self, wildcards: Wildcards) -> list[str]:
        """Bootstrap replicates of those runs."""
        return self.run_files("replicates", "parquet", self._whole_and_sized())

    def training_size_records(self, wildcards: Wildcards) -> list[str]:
        """How those runs were trained."""
        return self.run_files("training", "json", self._whole_and_sized())

    def training_size(self, wildcards: Wildcards | None = None) -> Files:
        """Effects of the training size, if the study asks for them."""
        return f"{self.root}/training_size.json" if self.sized_runs else []

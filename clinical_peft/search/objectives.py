"""What a trial computes: training at one point of the space, judged by the validation split alone.

The test split is out of reach: its cohort rows are never loaded, and its token rows cannot be asked for.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.config.search_spaces import Point, Search, apply_point, as_record
from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.models.folders import ADAPTER_WEIGHTS
from clinical_peft.recipes import FinetuneJob, PretrainJob
from clinical_peft.recipes.job_records import as_record as job_record
from clinical_peft.recipes.job_records import read_record
from clinical_peft.recipes.switches import switch_on
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.search.outcome import RUN_LOG, trial_folder
from clinical_peft.search.trials import Outcome, Pruned, Report
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.checkpoint import remove_checkpoint
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.language import validate
from clinical_peft.training.selection import is_defined
from clinical_peft.training.task_data import TaskInputs

SEEN_SPLITS = ("train", "validation")


class FinetuneObjective:
    """Validation metric of a model on a task, of the epoch that the recipe keeps.

    The task is tokenised once for all trials. A killed trial resumes from its checkpoint.

    Args:
        job: The job that points complete.
        search: The search; its seed is that of every trial.
        inputs: Files and folders that the job reads.
        work: Folder for checkpoints and run logs, which outlives a failed job.

    Attributes:
        identity: Digest of what decides a trial's metric.
        work: Folder of the trials with this identity.

    Raises:
        DataError: The metric is undefined on the validation split.
        TrainingError: The cohort does not fit the task.
    """

    def __init__(self, job: FinetuneJob, search: Search, inputs: TaskInputs, *, work: Path) -> None:
        self.search = search
        self.task = prepare_task(job, inputs, splits=SEEN_SPLITS)
        data = self.task.data
        targets = data.targets[data.rows("validation")]
        compared = job.recipe.compared
        if not is_defined(compared, targets, len(data.classes), data.type):
            raise DataError(
                f"{inputs.cohort}: {compared} is undefined on the validation split of {job.task}, no class has both a "
                f"positive and a negative row among {len(targets)}; a search needs a larger cohort"
            )
        files = [inputs.cohort, inputs.classes, inputs.base_folder / "base.json"]
        files += [inputs.adapter / ADAPTER_WEIGHTS] if inputs.adapter else []
        self.identity = _identity(job, search, {path.name: sha256_file(path) for path in files})
        self.work = Path(work) / self.identity[:16]

    def __call__(self, number: int, point: Point, report: Report) -> Outcome:
        """Run one trial."""
        job = apply_point(self.task.job, point)
        work = trial_folder(self.work, number)
        try:
            summary = finetune(
                self.task.with_job(job),
                seed=self.search.seed,
                work=work,
                log=_log(work, job.model, f"{job.task}/trial{number}", point, job_record(job)),
                on_evaluation=lambda curve: report(_values(curve, self.search.metric)),
            )
        except Pruned:
            remove_checkpoint(work)
            raise
        remove_checkpoint(work)
        curve = _values(summary["curve"], self.search.metric)
        return Outcome(curve[summary["best_epoch"] - 1], curve, summary["tokens"], summary["seconds"])


class PretrainObjective:
    """Validation perplexity of an adapter, of the evaluation whose weights the recipe keeps.

    Args:
        job: The job that points complete.
        search: The search.
        base: Base folder.
        tokens: Token shards of the corpus.
        work: Folder for checkpoints and run logs, which outlives a failed job.
        general: Corpus of general text for replay; None if there is none.

    Attributes:
        identity: Digest of what decides a trial's metric.
        work: Folder of the trials with this identity.
    """

    def __init__(
        self, job: PretrainJob, search: Search, *, base: Path, tokens: Path, work: Path, general: Path | None = None
    ) -> None:
        self.job, self.search, self.base, self.general = job, search, Path(base), general
        self.shards = WithoutTest(tokens)
        files = {"base.json": sha256_file(self.base / "base.json"), "tokens.json": self.shards.summary}
        if general is not None:
            files["general"] = sha256_file(general)
        self.identity = _identity(job, search, files)
        self.work = Path(work) / self.identity[:16]

    def __call__(self, number: int, point: Point, report: Report) -> Outcome:
        """Run one trial."""
        job = apply_point(self.job, point)
        work = trial_folder(self.work, number)
        try:
            state = validate(
                job,
                base=self.base,
                shards=self.shards,
                work=work,
                log=_log(work, job.adapter, f"trial{number}", point, asdict(job)),
                on_evaluation=lambda curve: report(_values(curve, "validation_perplexity")),
                general=self.general,
            )
        except Pruned:
            remove_checkpoint(work)
            raise
        curve = _values(state.curve, "validation_perplexity")
        kept = curve[-1] if switch_on(job.switches, "last_epoch") else state.best_perplexity
        assert kept is not None  # the last evaluation may always be kept
        return Outcome(kept, curve, state.tokens, state.seconds)


class WithoutTest(TokenShards):
    """Token shards without their test split."""

    def rows(self, split: str) -> np.ndarray:
        """Return the numbers of a split's rows, ascending.

        Raises:
            AssertionError: The test split is asked for.
        """
        assert split in SEEN_SPLITS, f"a search may not read the {split} split"
        return super().rows(split)


def _identity(job: PretrainJob | FinetuneJob, search: Search, inputs: Mapping[str, Any]) -> str:
    """Digest of what decides a trial's metric; neither the number of trials nor that of the workers does."""
    asked = as_record(replace(search, trials=1, workers=1))
    text = json.dumps({"job": read_record(job), "search": asked, "inputs": inputs}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _log(folder: Path, searched: str, name: str, point: Point, job: Mapping[str, Any]) -> JsonlLog:
    log = JsonlLog(folder / RUN_LOG, kind="search", name=name, parent=f"search {searched}")
    log.params({**job, "point": point})
    return log


def _values(curve: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(point[name]) for point in curve]

"""The baseline without a network: logistic regression on TF-IDF of words and word pairs.

It reads whole notes, while a network reads the first `context` tokens. No n-grams are saved: they are words of
patients' notes, and the baseline is fitted again in minutes.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from clinical_peft.data.hash_split import HELD_OUT_SPLITS, SPLITS
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path, write_json
from clinical_peft.models.scores import link_of, log_odds
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.training.batching import Rows
from clinical_peft.training.finetuning import PreparedTask
from clinical_peft.training.loop import TrainingRun
from clinical_peft.training.selection import selection_value
from clinical_peft.training.task_data import TaskData, TaskInputs, read_task

PENALTIES = (0.1, 1.0, 10.0)
# A grid whose end is the best goes on by factors of ten, so that no edge decides how strong the baseline is.
LARGEST_PENALTY = 1000.0
MOST_FEATURES = 100_000
MOST_ITERATIONS = 300


def prepare(job: FinetuneJob, inputs: TaskInputs, *, splits: Sequence[str] = SPLITS) -> "TfidfTask":
    """Read a cohort.

    Args:
        job: Only the task, `recipe.class_weights`, the metric of `recipe.selection` and the switch `multilabel_softmax`
            matter.
        inputs: Cohort and label space.
        splits: Splits to read.

    Raises:
        TrainingError: The cohort does not fit the task.
    """
    return TfidfTask(job, read_task(inputs.cohort, inputs.classes, job.task, job.type, splits=splits), inputs.cohort)


@dataclass(frozen=True)
class TfidfTask(PreparedTask):
    """The baseline on a task: what all seeds of a job share.

    Attributes:
        cohort: Cohort file, for messages.
        penalties: Inverse penalties C to choose from by the validation metric, the smallest first. While the last is
            the best, the next is ten times as large, up to `LARGEST_PENALTY`.
    """

    cohort: Path
    penalties: tuple[float, ...] = PENALTIES

    def train(self, run: TrainingRun) -> "TrainedTfidf":
        """Fit the baseline on the training split and choose its penalty on the validation split.

        It takes minutes: no checkpoint is written, and nothing is reported before the end. One thread computes,
        whatever the recipe says, so that the result does not depend on their number.

        Args:
            run: Its seed is that of the solver; nothing else of it is used.

        Raises:
            TrainingError: No word occurs in two training notes.
        """
        with threadpool_limits(limits=find_kind(self.job.kind).threads):
            return self._fit(run.seed)

    def _fit(self, seed: int) -> "TrainedTfidf":
        started = time.monotonic()
        job, data = self.job, self.data
        texts = np.asarray(data.texts, dtype=object)
        train, validation, predicted = data.rows("train"), data.rows("validation"), data.rows(*HELD_OUT_SPLITS)
        vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=MOST_FEATURES)
        try:
            known = vectoriser.fit_transform(texts[train])
        except ValueError:
            raise TrainingError(
                f"{self.cohort}: no word occurs in two training notes; TF-IDF needs more notes"
            ) from None
        unseen = vectoriser.transform(texts[predicted])
        inside = np.isin(predicted, validation)
        curve: list[dict[str, float | None]] = []
        best: tuple[float, float, np.ndarray] | None = None
        penalties = list(self.penalties)
        for penalty in penalties:
            logits = _logits(known, unseen, data, train, penalty, balanced=job.recipe.class_weights, seed=seed)
            odds = log_odds(logits[inside], link_of(data.type, job.switches))
            value = selection_value(job.recipe.compared, odds, data.targets[validation], data.type)
            curve.append({"penalty": penalty, f"validation_{job.recipe.compared}": None if np.isnan(value) else value})
            if best is None or value > best[0]:
                best = (value, penalty, logits)
                if penalty == penalties[-1] < LARGEST_PENALTY and len(penalties) > 1:
                    penalties.append(10 * penalty)
        assert best is not None
        _, chosen, logits = best
        return TrainedTfidf(data, predicted, logits, chosen, curve, features=known.shape[1], started=started)


@dataclass(frozen=True)
class TrainedTfidf:
    """The fitted baseline.

    Attributes:
        data: Cohort and labels.
        predicted: Admissions that were predicted, int64 of shape (M,).
        held_out_logits: Their logits, float32 of shape (M, K).
        penalty: The chosen inverse penalty C.
        curve: Validation metric by penalty.
        features: Number of n-grams.
        started: When fitting began, by the monotonic clock.
    """

    data: TaskData
    predicted: Rows
    held_out_logits: np.ndarray
    penalty: float
    curve: list[dict[str, float | None]]
    features: int
    started: float

    logged = ("seconds", "penalty")

    def logits(self, rows: Rows) -> np.ndarray:
        """Logits of some of the predicted admissions, float32 of shape (M, K)."""
        return self.held_out_logits[np.searchsorted(self.predicted, rows)]

    def save(self, folder: Path) -> None:
        """Write `classifier.json` with the choice of penalty."""
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            write_json(temporary / "classifier.json", {"kind": "tfidf", **self._choice()})

    def summary(self) -> dict[str, Any]:
        """Summarise the run.

        Returns:
            penalty, curve, features, trainable_parameters, classes_without_training_rows, unknown_codes, and seconds,
            in which predictions and model were written too.
        """
        return {**self._choice(), "seconds": time.monotonic() - self.started}

    def _choice(self) -> dict[str, Any]:
        columns = 1 if self.data.type == "binary" else len(self.data.classes)
        return {
            "penalty": self.penalty,
            "curve": self.curve,
            "features": self.features,
            "trainable_parameters": columns * (self.features + 1),
            "classes_without_training_rows": int((self.data.training_counts() == 0).sum()),
            "unknown_codes": self.data.unknown_codes,
        }


def _logits(
    known: Any,
    unseen: Any,
    data: TaskData,
    train: np.ndarray,
    penalty: float,
    *,
    balanced: bool,
    seed: int,
) -> np.ndarray:
    """Fit on sparse features of the training rows and return logits of the others, float32 of shape (M, K)."""
    counts = data.training_counts()
    if data.type == "multilabel":
        columns = [
            _fit(known, data.targets[train, column], penalty, seed=seed).decision_function(unseen)
            if 0 < counts[column] < len(train)
            else np.full(unseen.shape[0], _prior(counts[column], len(train)))
            for column in range(len(data.classes))
        ]
        return np.stack(columns, axis=1).astype(np.float32)
    model = _fit(known, data.targets[train], penalty, seed=seed, balanced=balanced)
    decision = model.decision_function(unseen)
    if decision.ndim == 1:
        decision = np.stack([np.zeros_like(decision), decision], axis=1)
    # A class that training never shows gets less than the least likely class of an admission.
    logits = np.repeat(decision.min(axis=1, keepdims=True) + _prior(0, len(train)), len(data.classes), axis=1)
    logits[:, model.classes_] = decision
    return logits.astype(np.float32)


def _prior(positives: int, rows: int) -> float:
    """Log-odds of a label's frequency, half a row added to both sides."""
    return float(np.log((positives + 0.5) / (rows - positives + 0.5)))


def _fit(
    features: Any, targets: np.ndarray, penalty: float, *, seed: int, balanced: bool = False
) -> LogisticRegression:
    two = len(np.unique(targets)) == 2
    model = LogisticRegression(
        C=penalty,
        class_weight="balanced" if balanced else None,
        solver="liblinear" if two else "lbfgs",
        max_iter=MOST_ITERATIONS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # An optimum reached to fewer digits changes no conclusion of a baseline.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, targets)

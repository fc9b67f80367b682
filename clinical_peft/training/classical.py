"""The baseline without a network: logistic regression on TF-IDF of words and word pairs.

It reads whole notes, while a network reads the first `context` tokens. No n-grams are saved: they are words of
patients' notes, and the baseline is fitted again in minutes.
"""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from clinical_peft.data.hash_split import HELD_OUT_SPLITS
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path, write_json
from clinical_peft.models.scores import link_of, log_odds
from clinical_peft.recipes import FinetuneJob
from clinical_peft.runtime.events import RunLog
from clinical_peft.training.objectives import scores_from_logits
from clinical_peft.training.predictions import write_predictions
from clinical_peft.training.selection import selection_auroc
from clinical_peft.training.task_data import TaskData, read_task

PENALTIES = (0.1, 1.0, 10.0)
MOST_FEATURES = 100_000
MOST_ITERATIONS = 300


def fit_tfidf(
    job: FinetuneJob,
    *,
    cohort: Path,
    classes: Path,
    seed: int,
    predictions: Path,
    model_directory: Path,
    log: RunLog,
    penalties: tuple[float, ...] = PENALTIES,
) -> dict[str, Any]:
    """Fit the baseline on the training split, choose its penalty on the validation split, and write predictions.

    Args:
        job: Only `task`, `recipe.class_weights` and the switch `multilabel_softmax` matter.
        cohort: Cohort file; see `clinical_peft.training.task_data.read_task`.
        classes: Label space of the cohort.
        seed: Seed of the solver.
        predictions: Parquet file to write, of the same form as a network's.
        model_directory: Folder to write; holds `classifier.json` with the choice of penalty.
        log: Where figures are reported.
        penalties: Inverse penalties C to choose from by validation AUROC, the smallest first.

    Returns:
        JSON-ready summary: penalty, curve (validation AUROC by penalty), features, trainable_parameters, seconds,
        classes_without_training_rows, unknown_codes.

    Raises:
        TrainingError: The cohort does not fit the task.
    """
    started = time.monotonic()
    data = read_task(cohort, classes, job.task)
    texts = np.asarray(data.texts, dtype=object)
    train, validation, predicted = data.rows("train"), data.rows("validation"), data.rows(*HELD_OUT_SPLITS)
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=MOST_FEATURES)
    try:
        known = vectoriser.fit_transform(texts[train])
    except ValueError:
        raise TrainingError(f"{cohort}: no word occurs in two training notes; TF-IDF needs more notes") from None
    unseen = vectoriser.transform(texts[predicted])
    inside = np.isin(predicted, validation)
    curve: list[dict[str, float | None]] = []
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in penalties:
        logits = _logits(known, unseen, data, train, penalty, balanced=job.recipe.class_weights, seed=seed)
        odds = log_odds(logits[inside], link_of(data.type, job.switches))
        auroc = selection_auroc(odds, data.targets[validation], data.type)
        curve.append({"penalty": penalty, "validation_auroc": None if np.isnan(auroc) else auroc})
        if best is None or auroc > best[0]:
            best = (auroc, penalty, logits)
    assert best is not None
    _, chosen, logits = best
    softmax = job.switches.get("multilabel_softmax", False)
    scores = scores_from_logits(logits, data.type, multilabel_softmax=softmax)
    write_predictions(predictions, data, predicted, logits, scores)
    summary = {
        "penalty": chosen,
        "curve": curve,
        "features": known.shape[1],
        "trainable_parameters": _parameters(data, known.shape[1]),
        "classes_without_training_rows": int((_training_counts(data, train) == 0).sum()),
        "unknown_codes": data.unknown_codes,
    }
    _write_choice(model_directory, summary)
    summary["seconds"] = time.monotonic() - started
    log.metrics({"seconds": summary["seconds"], "penalty": chosen})
    return summary


def _training_counts(data: TaskData, train: np.ndarray) -> np.ndarray:
    targets = data.targets[train]
    if data.type == "multilabel":
        return targets.sum(axis=0, dtype=np.int64)
    return np.bincount(targets, minlength=len(data.classes))


def _parameters(data: TaskData, features: int) -> int:
    columns = 1 if data.type == "binary" else len(data.classes)
    return columns * (features + 1)


def _write_choice(folder: Path, summary: Mapping[str, Any]) -> None:
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        write_json(temporary / "classifier.json", {"kind": "tfidf", **summary})


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
    counts = _training_counts(data, train)
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

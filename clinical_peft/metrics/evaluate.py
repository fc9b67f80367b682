"""One run's predictions -> its metrics file and its bootstrap replicates.

The replicates file has one float64 column per figure of `clinical_peft.metrics.run_metrics.FIGURES`, null where it is
undefined, and a column `drawn`: `bootstrap` for resamples of the patients, `jackknife` for the figures without each
group of patients. Its schema metadata names the run.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import (
    FEWEST_RANKED,
    coarse,
    coarse_figures,
    has_hidden,
    publishable_classes,
    shown,
    shown_margin,
    significant,
    unsized_figures,
)
from clinical_peft.errors import DataError
from clinical_peft.files import atomic_path, sha256_file, write_json
from clinical_peft.metrics.areas import (
    BANDS,
    HEAD_ABOVE,
    TAIL_BELOW,
    area_figures,
    class_areas,
    frequency_bands,
    scored_classes,
    weigh,
)
from clinical_peft.metrics.calibration import BINS
from clinical_peft.metrics.cohort_check import check_against_cohort, read_cohort, train_positives
from clinical_peft.metrics.predictions import Predictions, read_classes, read_predictions
from clinical_peft.metrics.resampling import bca_interval, bootstrap, jackknife, percentile_interval, undefined
from clinical_peft.metrics.run_metrics import (
    FIGURES,
    all_figures,
    choose_cutoff,
    f1_figures,
    figure_names,
    paper_figures,
)
from clinical_peft.tasks import find_task
from clinical_peft.tasks.scores import Link, link_of, sigmoid

STRICT_LEVEL = 0.99
METADATA_KEY = b"run"
DRAWN = ("bootstrap", "jackknife")

Bands = Mapping[str, np.ndarray]


def evaluate(
    predictions: Path,
    classes: Path,
    *,
    task: str,
    job: Mapping[str, Any],
    protocol: str,
    cohort_sha256: str,
    seed: int,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    replicates: Path,
    provenance: Mapping[str, Any],
    cohort: Path | None = None,
    hidden_splits: Collection[str] = (),
    patients_apart: bool = True,
    level: float = 0.95,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Score a run's validation and test predictions and write its metrics file.

    Args:
        predictions: Predictions file, see `clinical_peft.metrics.predictions`.
        classes: JSON list, the ordered label space.
        task: Name of the task.
        job: The resolved recipe; its `model` names the run, its `switches` the deviations of training.
        protocol: What all switches, those of the data too, amount to; see `clinical_peft.config.arms.protocol_of_run`.
        cohort_sha256: Checksum of the cohort that was predicted.
        seed: Seed of the run.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples. Runs with the same one are paired.
        output: Metrics file to write.
        replicates: Parquet file to write.
        provenance: Versions of the training job (key `versions`), its machine, revision and whatever else identifies
            the computation.
        cohort: The cohort, to check the predictions against and to count labels in training; without it neither.
        hidden_splits: Splits whose number of admissions may not be published beside those of the study's other tasks,
            from `clinical_peft.disclosure.splits.hidden_splits`.
        patients_apart: As for `clinical_peft.metrics.predictions.read_predictions`.
        level: Coverage of `intervals`; 99 % intervals are always stored as well.
        threshold: Fixed decision threshold for F1 (the paper: 0.5), or None to choose it on the validation split.

    Returns:
        What the metrics file holds: model, task, seed, task_type; metrics.{validation,test}.{figure} with the figures
        of `clinical_peft.metrics.run_metrics.figure_names` (with multilabel_softmax also auroc_sigmoid), null where
        undefined; level, intervals.test.{figure}, intervals_99.test.{figure} (percentile), intervals_bca.test.{figure}
        (null where there is none); bootstrap.{resamples, seed, cluster, undefined.{figure}}; variants.{paper,
        corrected}.{validation,test}.{auroc, auprc, f1_micro, f1_macro}, under either protocol's scores and threshold
        whatever the run's; n.{split}, patients.{split}, positives.{split} (binary: rows of the second class;
        multiclass: rows per class; multilabel: labels in all), classes, classes_scored.{split},
        labels_outside_classes.{split}, threshold.{value, log_odds, chosen_on}, calibration_bins; of a multilabel task
        labels.{auroc, auprc, positives} on test and labels.train_positives, lists in the order of the classes, and
        bands.{head, middle, tail}.{classes, scored} with bands.{head_above, tail_below}, both null without `cohort`;
        counts that may not be published are null (`clinical_peft.disclosure.counts`), figures of single labels have
        three digits and those of such labels are null, figures of a split with a hidden count of a class are those of
        `clinical_peft.disclosure.counts.coarse_figures`, its classes_scored and bootstrap.undefined null, figures of a
        split with a hidden number of admissions those of `unsized_figures`; recipe, protocol, cohort_sha256,
        predictions_sha256, versions, provenance.

    Raises:
        DataError: The predictions are malformed or not those of the cohort.
    """
    kind = find_task(task).type
    link = link_of(kind, job.get("switches", {}))
    space = read_classes(classes)
    splits = read_predictions(predictions, space, kind, link=link, patients_apart=patients_apart)
    test = splits["test"]
    frequency = _check_and_count(splits, cohort, predictions) if cohort else None
    bands = None if frequency is None else frequency_bands(frequency)
    cutoff = choose_cutoff(splits["validation"]) if threshold is None else _log_odds(threshold)
    metrics = {name: _estimates(split, cutoff, link, bands) for name, split in splits.items()}
    values = bootstrap(test, cutoff, resamples=resamples, seed=bootstrap_seed, bands=bands)
    left_out = jackknife(test, cutoff, seed=bootstrap_seed, bands=bands)
    names = figure_names(kind, test.target.shape[1], bands=bands is not None)
    result = {
        "model": job["model"],
        "task": task,
        "seed": seed,
        "task_type": kind,
        "metrics": metrics,
        "level": level,
        "intervals": {"test": {name: percentile_interval(values[name], level) for name in names}},
        "intervals_99": {"test": {name: percentile_interval(values[name], STRICT_LEVEL) for name in names}},
        "intervals_bca": {
            "test": {
                name: bca_interval(_number(metrics["test"][name]), values[name], left_out[name], level)
                for name in names
            }
        },
        "bootstrap": {
            "resamples": resamples,
            "seed": bootstrap_seed,
            "cluster": "subject_id",
            "undefined": {name: undefined(values[name]) for name in names},
        },
        "variants": _variants(splits),
        "n": {name: len(split) for name, split in splits.items()},
        "patients": {name: split.patients for name, split in splits.items()},
        "classes": test.target.shape[1],
        "classes_scored": {name: int(scored_classes(split.target).sum()) for name, split in splits.items()},
        "labels_outside_classes": {name: split.labels_outside_classes for name, split in splits.items()},
        "threshold": _threshold_record(kind, cutoff, threshold),
        "calibration_bins": {"number": BINS, "kind": "equally many scores"},
        **_label_records(test, frequency, bands),
        "recipe": dict(job),
        "protocol": protocol,
        "cohort_sha256": cohort_sha256,
        "predictions_sha256": sha256_file(predictions),
        "versions": dict(provenance.get("versions", {})),
        "provenance": {key: value for key, value in provenance.items() if key != "versions"},
    }
    _write_replicates(replicates, (values, left_out), run_key(result))
    result |= _published(result, splits, hidden_splits)
    write_json(output, result)
    return result


def _published(
    result: Mapping[str, Any], splits: Mapping[str, Predictions], hidden_splits: Collection[str]
) -> dict[str, Any]:
    """The parts of a metrics file that say more of few admissions than may be said, as they may be."""
    positives = {
        name: _published_positives(split, is_sized=name not in hidden_splits) for name, split in splits.items()
    }
    few = [name for name, counts in positives.items() if has_hidden(counts)]

    def rounded(part: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(part)
        for name, values in part.items():
            if name in few:
                found[name] = coarse_figures(values, len(splits[name]), rarest=rarest_class(splits[name]))
            elif name in hidden_splits:
                found[name] = unsized_figures(values, len(splits[name]))
        return found

    found: dict[str, Any] = {
        **{name: rounded(result[name]) for name in ("metrics", "intervals", "intervals_99", "intervals_bca")},
        "variants": {version: rounded(part) for version, part in result["variants"].items()},
        **{
            name: {split: None if split in hidden_splits else shown(n) for split, n in result[name].items()}
            for name in ("n", "patients")
        },
        # Of a class of few, whether it occurs at all is a count, too.
        "classes_scored": {split: None if split in few else n for split, n in result["classes_scored"].items()},
        "positives": positives,
        "labels_outside_classes": {
            split: shown(n) if result["task_type"] == "multilabel" else n
            for split, n in result["labels_outside_classes"].items()
        },
    }
    for band in BANDS:
        if (result.get("bands") or {}).get(band, {}).get("scored") == 1:
            # The mean over one label is that label's.
            alone = {f"{area}_{band}": None for area in ("auroc", "auprc")}
            found |= {
                name: {**found[name], "test": {**found[name]["test"], **alone}}
                for name in ("metrics", "intervals", "intervals_99", "intervals_bca")
            }
    if "test" in few:
        # A resample lacks a rare class as often as the class is rare.
        undefined_in = dict.fromkeys(result["bootstrap"]["undefined"])
        found["bootstrap"] = {**result["bootstrap"], "undefined": undefined_in}
    if "validation" in few:
        found["threshold"] = coarse(result["threshold"])
        if is_nearly_empty(splits["validation"]) and result["threshold"]["chosen_on"] == "validation":
            found["threshold"] |= {"value": None, "log_odds": None}
    return found


def is_nearly_empty(split: Predictions) -> bool:
    """Whether a class has so few rows that no metric of it is published."""
    rarest = rarest_class(split)
    return rarest is not None and rarest < FEWEST_RANKED


def rarest_class(split: Predictions) -> int | None:
    """Rows of the rarer class of a binary task; None for another task."""
    return int(split.target.sum(axis=0).min()) if split.type == "binary" else None


def _published_positives(split: Predictions, *, is_sized: bool) -> int | list[int | None] | None:
    by_class = split.target.sum(axis=0)
    if split.type == "multiclass" and not is_sized:
        return [None] * len(by_class)  # their sum is the size
    if split.type == "multilabel":
        return shown(int(by_class.sum()))
    by_place = shown_margin([int(count) for count in by_class])
    return by_place if split.type == "multiclass" else by_place[1]


def run_key(metrics: Mapping[str, Any]) -> str:
    """What a replicates file must agree on with its metrics file, as one line."""
    return f"{metrics['model']} {metrics['task']} seed {metrics['seed']} predictions {metrics['predictions_sha256']}"


def read_replicates(
    path: Path, metrics: Mapping[str, Any], figure: str = "auroc", *, drawn: str = "bootstrap"
) -> np.ndarray:
    """Read a figure's replicates, float64 of shape (R,), NaN where undefined.

    Args:
        path: File that `evaluate` wrote beside a metrics file.
        metrics: That metrics file's content.
        figure: One of `clinical_peft.metrics.run_metrics.FIGURES`.
        drawn: `bootstrap`, or `jackknife` for the figure without each group of patients.

    Raises:
        DataError: The file is missing or belongs to another run.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: expected bootstrap replicates, found no file; evaluate the run again")
    if "drawn" not in pq.read_schema(path).names:
        raise DataError(f"{path}: expected a column drawn, found none; evaluate the run again")
    table = pq.read_table(path, columns=[figure, "drawn"])
    found = (table.schema.metadata or {}).get(METADATA_KEY, b"").decode()
    if found != run_key(metrics):
        raise DataError(f"{path}: expected replicates of '{run_key(metrics)}', found '{found}'; evaluate the run again")
    column = table.filter(pc.equal(table["drawn"], drawn)).column(figure).to_numpy(zero_copy_only=False)
    return np.asarray(column, dtype=np.float64)


def _write_replicates(path: Path, parts: Sequence[Mapping[str, np.ndarray]], key: str) -> None:
    values = {name: np.concatenate([part[name] for part in parts]) for name in FIGURES}
    lengths = [len(part[FIGURES[0]]) for part in parts]
    columns = {name: pa.array(value, mask=np.isnan(value)) for name, value in values.items()}
    table = pa.table({"drawn": np.repeat(DRAWN, lengths).tolist(), **columns})
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: key}), temporary, compression="zstd")


def _check_and_count(splits: Mapping[str, Predictions], cohort: Path, predictions: Path) -> np.ndarray | None:
    """Check predictions against their cohort; training admissions by label if the task is multilabel."""
    table = read_cohort(cohort)
    check_against_cohort(splits, table, predictions)
    test = splits["test"]
    return train_positives(table, test.classes, str(cohort)) if test.type == "multilabel" else None


def _estimates(split: Predictions, cutoff: float | None, link: Link, bands: Bands | None) -> dict[str, float | None]:
    values = all_figures(split, cutoff, bands=bands)
    if split.type == "multilabel" and link == "softmax":
        # A softmax over labels changes how rows rank within a label.
        values["auroc_sigmoid"] = area_figures(split.scored_by("sigmoid"))["auroc"]
    return _finite(values)


def _finite(values: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    return {name: float(value[0]) if math.isfinite(value[0]) else None for name, value in values.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _variants(splits: Mapping[str, Predictions]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Areas and F1 as the paper computes them, and corrected, for every split."""
    corrected = dict(splits)
    if splits["test"].type == "multilabel":
        corrected = {name: split.scored_by("sigmoid") for name, split in splits.items()}
    cutoff = choose_cutoff(corrected["validation"])
    return {
        "paper": {name: _finite(paper_figures(split)) for name, split in splits.items()},
        "corrected": {
            name: _finite(area_figures(split) | f1_figures(split, cutoff)) for name, split in corrected.items()
        },
    }


def _label_records(test: Predictions, frequency: np.ndarray | None, bands: Bands | None) -> dict[str, Any]:
    """What a multilabel task's metrics say of single labels and of bands; nothing for another task."""
    if test.type != "multilabel":
        return {}
    scored = scored_classes(test.target)
    columns = np.flatnonzero(scored)
    areas: dict[str, list[float | None]] = {name: [None] * len(scored) for name in ("auroc", "auprc")}
    # All labels' positives together are published, which makes those of single labels a margin.
    fine = publishable_classes(test.target, exclusive=True)
    for name, values in class_areas(test, weigh(test), columns).items():
        for column, value in zip(columns, values[:, 0], strict=True):
            areas[name][column] = significant(float(value)) if fine[column] else None
    described = None
    if bands is not None:
        counts = {
            name: {"classes": int(members.sum()), "scored": int((members & scored).sum())}
            for name, members in bands.items()
        }
        described = {"head_above": HEAD_ABOVE, "tail_below": TAIL_BELOW, **counts}
    return {
        "labels": {
            **areas,
            "positives": [int(n) if kept else None for n, kept in zip(test.target.sum(axis=0), fine, strict=True)],
            "train_positives": None if frequency is None else shown_margin(frequency.tolist()),
        },
        "bands": described,
    }


def _threshold_record(kind: str, cutoff: float | None, fixed: float | None) -> dict[str, Any]:
    if kind == "multiclass" or cutoff is None:
        return {"value": None, "log_odds": None, "chosen_on": "highest score"}
    value, chosen_on = (float(sigmoid(cutoff)), "validation") if fixed is None else (fixed, "fixed")
    return {"value": value, "log_odds": cutoff if math.isfinite(cutoff) else None, "chosen_on": chosen_on}


def _log_odds(probability: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability))

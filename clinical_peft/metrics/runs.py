"""Read the runs of a table, and check that they may share one."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.metrics.cutoffs import choose_cutoff, log_odds_of
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import Predictions, read_classes, read_predictions
from clinical_peft.metrics.records import RunMetrics, Threshold
from clinical_peft.models.scores import link_of


@dataclass(frozen=True)
class RunFiles:
    """Files of the runs of a study, one run a model, task and seed.

    Attributes:
        metrics: Metrics files.
        predictions: Predictions files in the same order.
        classes: Label space of each task, a JSON list.
    """

    metrics: Sequence[Path]
    predictions: Sequence[Path]
    classes: Mapping[str, Path]


def run_files(metrics: Iterable[str], predictions: Iterable[str], classes: Mapping[str, str]) -> RunFiles:
    """Take the files of runs from their paths as text, as rules give them."""
    return RunFiles(
        list(map(Path, metrics)), list(map(Path, predictions)), {task: Path(path) for task, path in classes.items()}
    )


def check_comparable(runs: Sequence[RunMetrics], places: Sequence[Path]) -> None:
    """Refuse runs that a table may not hold side by side.

    Args:
        runs: Metrics files.
        places: The files, in the same order.

    Raises:
        DataError: A run was given twice, or a model on a task lacks a seed that another has; seeds of a model on a
            task were trained by different recipes; runs of a task scored different cohorts; runs follow different
            protocols; or their bootstraps differ in resamples or seed.
    """
    check_pairs(places, runs, "metrics")
    _check_seeds(runs, places)
    first: dict[tuple[str, ...], tuple[Any, Path]] = {}
    for run, place in zip(runs, places, strict=True):
        for scope, value in _claims(run).items():
            known, known_place = first.setdefault(scope, (value, place))
            if value != known:
                raise DataError(f"{place}: {_difference(scope, known, value, known_place)}")


def check_pairs(first: Sequence[Any], second: Sequence[Any], what: str) -> None:
    """Refuse lists of files that do not belong together.

    Raises:
        DataError: One is longer than the other.
    """
    if len(first) != len(second):
        raise DataError(f"expected {what} of the same runs, found {len(first)} and {len(second)}; give one per run")


def _check_seeds(runs: Sequence[RunMetrics], places: Sequence[Path]) -> None:
    """Refuse a run that stands twice, and a comparison of means over different seeds."""
    seen: dict[tuple[str, str, int], Path] = {}
    for run, place in zip(runs, places, strict=True):
        if run.key in seen:
            raise DataError(f"{place}: the run {run.key} was already read from {seen[run.key]}; give every run once")
        seen[run.key] = place
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for model, task, seed in seen:
        seeds[model, task].add(seed)
    everything = {seed for found in seeds.values() for seed in found}
    for (model, task), found in sorted(seeds.items()):
        if found != everything:
            missing = ", ".join(map(str, sorted(everything - found)))
            place = seen[model, task, min(found)]
            raise DataError(
                f"{place}: expected {model} on {task} with every seed of the study; missing: seed {missing}; run it"
            )


def _claims(run: RunMetrics) -> dict[tuple[str, ...], Any]:
    """What a run must share with others, by what it is and who shares it."""
    return {
        ("cohort", run.task): (run.cohort_sha256, run.n["test"], run.patients["test"]),
        ("recipe", run.model, run.task): run.recipe,
        ("protocol",): run.protocol,
        **{("switch", name): on for name, on in run.switches.items()},
        ("bootstrap",): (run.bootstrap.resamples, run.bootstrap.seed),
    }


def _difference(scope: tuple[str, ...], known: Any, found: Any, known_place: Path) -> str:
    kind, *members = scope
    if kind == "cohort":
        return f"{members[0]} was scored on another cohort than in {known_place}; run both again"
    if kind == "recipe":
        keys = ", ".join(_differing(known, found))
        return f"{' on '.join(members)} was trained by another recipe than in {known_place} ({keys}); run both again"
    if kind == "bootstrap":
        return f"its bootstrap differs in resamples or seed from {known_place}; evaluate both again"
    what = f"switch {members[0]}" if members else "protocol"
    return (
        f"expected the {what} of {known_place}, {known}, found {found}; a table holds runs of one protocol, and `gaps` "
        "compares two"
    )


def _differing(known: Any, found: Any, above: str = "") -> list[str]:
    """Dotted keys under which two nested mappings differ."""
    if not (isinstance(known, Mapping) and isinstance(found, Mapping)):
        return [above]
    keys = sorted(key for key in {*known, *found} if known.get(key) != found.get(key))
    return [place for key in keys for place in _differing(known.get(key), found.get(key), f"{above}.{key}".lstrip("."))]


def read_scored(run: RunMetrics, place: Path, predictions: Path, classes: Mapping[str, Path]) -> dict[str, Predictions]:
    """Read the predictions that a run's metrics file scored, by split.

    Args:
        run: The metrics file.
        place: Where it stands.
        predictions: The predictions file.
        classes: Label space of each task, a JSON list.

    Raises:
        DataError: A file is malformed, or the predictions are not those that were scored.
    """
    if sha256_file(predictions) != run.predictions_sha256:
        raise DataError(f"{predictions}: expected the predictions that {place} scored, found others; evaluate it again")
    space = read_classes(classes[run.task])
    link = link_of(run.task_type, run.switches)
    return read_predictions(predictions, space, run.task_type, link=link, patients_apart=False)


def read_runs(
    files: RunFiles, metric: Metric, *, models: Collection[str] | None = None
) -> Iterator[tuple[RunMetrics, dict[str, Predictions]]]:
    """Read runs that may stand in one table, by task, model and seed, one after the other.

    Args:
        files: Files of the runs.
        metric: What is computed of the predictions.
        models: Models whose runs are read; None for all.

    Yields:
        A metrics file, and the predictions that it scored by split, each with the threshold of the run where the metric
        judges decisions.

    Raises:
        DataError: As for `check_comparable`, before anything is read, and for `read_scored`; or the lists of files
            differ in length.
    """
    check_pairs(files.metrics, files.predictions, "metrics and predictions")
    pairs = zip(files.metrics, files.predictions, strict=True)
    found = [(RunMetrics.read(place), place, path) for place, path in pairs]
    found = [item for item in found if models is None or item[0].model in models]
    check_comparable([run for run, _, _ in found], [place for _, place, _ in found])
    for run, place, path in sorted(found, key=lambda item: (item[0].task, item[0].model, item[0].seed)):
        splits = read_scored(run, place, path, files.classes)
        yield run, with_cutoff(splits, metric, run.threshold) if metric.judges_decisions else splits


def with_cutoff(
    splits: Mapping[str, Predictions], metric: Metric, threshold: Threshold | None = None
) -> dict[str, Predictions]:
    """Give predictions the threshold that decides.

    Args:
        splits: Predictions of `validation`, on which a threshold is chosen, and of other splits.
        metric: The compared metric, which chooses it.
        threshold: That of their run, which may be fixed; None to choose one.
    """
    if threshold is not None and threshold.chosen_on == "fixed" and threshold.value is not None:
        cutoff: float | None = log_odds_of(threshold.value)
    else:
        cutoff = choose_cutoff(splits["validation"], metric.decide_by)
    return {name: replace(split, cutoff=cutoff) for name, split in splits.items()}

"""Tasks of many labels: areas under every average and by frequency of the label, and precision of the first codes."""

from collections.abc import Sequence

from clinical_peft.metrics.areas import BANDS
from clinical_peft.metrics.registry import METRICS, find_metric
from clinical_peft.tables.form import Record
from clinical_peft.tables.run_means import (
    RunMeans,
    interval_fields,
    key_columns,
    metric_columns,
    notes_of_means,
    stated_columns,
    with_level,
)
from clinical_peft.tables.study_column import Column
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_table import StudyTable
from clinical_peft.tables.study_tasks import task_label

AVERAGES = {
    "": "Macro",
    "_micro": "Micro",
    "_weighted": "Weighted",
    **{f"_{band}": band.capitalize() for band in BANDS},
}
AREAS = {find_metric(f"{area}{average}"): title for area in ("auroc", "auprc") for average, title in AVERAGES.items()}
OTHERS = {
    metric: metric.title for metric in METRICS.values() if metric.types == ("multilabel",) and metric not in AREAS
}
WRITTEN = AREAS | OTHERS
# The areas under precision and recall stand in the machine-readable form alone.
SHOWN = [metric for metric in WRITTEN if not metric.name.startswith("auprc")]


def _rows(results: StudyResults) -> list[RunMeans]:
    return [row for row in results.run_means if row.first["task_type"] == "multilabel"]


def _band_columns() -> tuple[Column, ...]:
    def count(band: str, which: str) -> Column:
        return Column(f"{band}_{which}", lambda row: (row.first["bands"] or {}).get(band, {}).get(which))

    return (
        *(count(band, which) for band in BANDS for which in ("classes", "scored")),
        Column("head_above", lambda row: (row.first["bands"] or {}).get("head_above")),
        Column("tail_below", lambda row: (row.first["bands"] or {}).get("tail_below")),
    )


def _band_notes(records: Sequence[Record], results: StudyResults) -> list[str]:
    described = {record["task"]: record for record in records if record["head_above"] is not None}
    if not described:
        return []
    first = next(iter(described.values()))
    counts = "; ".join(
        f"{task_label(task, results.tasks)} "
        + ", ".join(f"{band} {row[f'{band}_scored']} of {row[f'{band}_classes']}" for band in BANDS)
        for task, row in described.items()
    )
    return [
        f"Head: labels of more than {first['head_above']} training {results.unit}s; tail: of fewer than "
        f"{first['tail_below']}. Labels of each band that are scored: {counts}."
    ]


TABLE = StudyTable(
    name="multilabel_metrics",
    place=2,
    section="metrics",
    needs=("metrics", "replicates"),
    columns=(
        *key_columns(),
        *(column for metric, title in WRITTEN.items() for column in metric_columns(metric, title)),
        *_band_columns(),
        Column("undefined", lambda row: row.undefined(WRITTEN)),
        *stated_columns(),
    ),
    rows=_rows,
    shown=("task", "label", *(interval_fields(metric)[0] for metric in SHOWN)),
    caption=lambda results, records: (
        "Tasks of many labels: test AUROC (%) under every average and by frequency of the label, and precision (%) of "
        f"the k {results.words['code']}s that rank highest, means over seeds{with_level(records)}."
    ),
    notes=lambda results, records: (
        f"Macro: mean over labels. Micro: all pairs of {results.unit} and label ranked together. Weighted: by the "
        "label's positives. Intervals but those of macro: the seeds' intervals, their ends averaged. The CSV file "
        "holds AUPRC under the same averages.",
        *_band_notes(records, results),
        *notes_of_means(_rows(results), records, SHOWN, results.tasks),
    ),
    text_columns=2,
    folded="Averages, frequency bands and precision at k",
)

"""Columns with signs, intervals and bounds sort by their figures in a reader's browser; text stays text."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, find_chromium, opened

from clinical_peft.report.html_report import build_report
from clinical_peft.tables.registry import build_tables
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (apt-get install chromium)"),
]
TEMPLATE = Path(__file__).parents[2] / "report/report.html.j2"
EMPTY = {"level": 0.95, "resamples": 0, "macro_tasks": [], "summaries": [], "differences": []}
STUDY = {
    **{"study": "made-up", "protocol": "corrected", "contamination": "paper", "split": "hash"},
    "split_by_admission": [],
    **{"cohorts": "mimic-iii", "synthetic": True, "hospital": True, "switches": {}},
}
# By switch: the effect as a fraction of AUROC; all ends of the intervals have the effect's sign.
EFFECTS = {"unclipped": 0.101, "last_epoch": -0.095, "los_rounded": 0.02, "marks_kept": -0.004, "paper": 0.0}
# By age group: AUROC and gap to the largest group.
AGES = {"60 to 79": (0.71, None), "18 to 39": (0.83, 0.12), "80 and over": (0.80, 0.09), "40 to 59": (None, None)}
SORTED = """(() => {
  document.querySelectorAll("details").forEach(one => { one.open = true; });
  const table = document.querySelector("#table-%s table");
  const heads = [...table.tHead.rows[0].cells];
  const head = heads.find(one => one.querySelector("button").innerText.trim().startsWith("%s"));
  const cells = () => [...table.tBodies[0].rows].map(row => row.cells[head.cellIndex].innerText.trim());
  head.querySelector("button").click();
  const up = cells();
  head.querySelector("button").click();
  return [up, cells()];
})()"""


def protocol_gaps():
    changed = {"joined": 0, "left": 0, "texts": 5, "labels": 0}
    judged = {"auroc": 0.7, "n": 100, "classes": 2, "protocol": "corrected", "cohort_sha256": "0" * 64}
    rows = [
        {
            **{"switch": switch, "task": "los", "corrected": judged, "ablation": judged, "difference": effect},
            **{"interval": [effect - 0.001, effect + 0.001], "interval_total": [effect - 0.002, effect + 0.002]},
            **{"interval_bca": None, "standard_error": 0.001, "undefined": 0},
            **{"p_value": 0.1, "p_total": 0.1, "p_holm": 0.1, "significant": False, "changed": changed},
            "degrees_of_freedom": None,
        }
        for switch, effect in EFFECTS.items()
    ]
    return {"level": 0.95, "model": "llama", "rows": rows, "untouched": {}}


def subgroups():
    cells, gaps = [], []
    for group, (auroc, gap) in AGES.items():
        key = {"task": "mortality", "attribute": "age_band", "group": group}
        counts = {"admissions": 1200 if gap is None else 90, "patients": 80, "positives": 20}
        why = None if auroc else "fewer than 10"
        cells.append({**key, **counts, "reference": group == "60 to 79", "suppressed": why})
        figures = {name: {"value": auroc, "interval": None} for name in ("auroc", "brier", "calibration_intercept")}
        distances = {name: {"value": gap, "interval": None} for name in figures}
        gaps.append(
            {
                **{**key, "model": "llama", "reference": "60 to 79", "seeds": 1, "classes": 1, "classes_with_few": 0},
                **{"protocol": "corrected", "cohort_sha256": "0" * 64},
                **{"figures": figures if auroc else None, "gaps": distances if gap else None, "p_value": None},
                **{"p_holm": None, "significant": False, "suppressed": why, "undefined": 0},
            }
        )
    return {"level": 0.95, "resamples": 10, "smallest_cell": 10, "cells": cells, "gaps": gaps}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    results = StudyResults(
        tasks=TASKS,
        comparison=EMPTY,
        calibration={"runs": [], "bins": 10},
        subgroups=subgroups(),
        protocol_gaps=protocol_gaps(),
    )
    output = tmp_path_factory.mktemp("page") / "report.html"
    build_report(
        template=TEMPLATE,
        study=STUDY,
        results=results,
        tables=build_tables(results),
        figures={},
        provenance={},
        output=output,
    )
    assert CHROMIUM is not None
    with opened(CHROMIUM, tmp_path_factory.mktemp("profile")) as opened_page:
        opened_page.open(output)
        yield opened_page


def test_signed_differences_with_intervals_sort_by_their_size(page):
    up, down = page.evaluate(SORTED % ("protocol_gaps", "Difference"))
    assert [cell.split()[0] for cell in up] == ["−9.5", "−0.4", "+0.0", "+2.0", "+10.1"]
    assert down == up[::-1]


def test_all_positive_gaps_sort_by_size_with_dashes_last(page):
    up, down = page.evaluate(SORTED % ("subgroups-mortality", "Median gap"))
    assert [float(cell) for cell in up[:2]] == [9, 12]
    assert [float(cell) for cell in down[:2]] == [12, 9]
    assert up[2:] == down[2:] == ["–", "–"]


def test_groups_are_text_in_their_natural_order(page):
    up, down = page.evaluate(SORTED % ("subgroups-mortality", "Group"))
    assert up == ["18 to 39", "40 to 59", "60 to 79", "80 and over"]
    assert down == up[::-1]


def test_counts_with_separators_sort_as_numbers(page):
    up, _ = page.evaluate(SORTED % ("subgroups-mortality", "Admissions"))
    assert up == ["90", "90", "1,200", "1,200"]
    assert page.complaints == []

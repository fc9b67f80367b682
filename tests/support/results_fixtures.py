"""Tables of made-up results, and the columns that users rely on."""

import csv
import io

from clinical_peft.tables.form import Table
from clinical_peft.tables.registry import find_table
from clinical_peft.tables.render import to_csv
from clinical_peft.tables.study_results import StudyResults

EMPTY_COMPARISON = {"level": 0.95, "resamples": 0, "macro_tasks": [], "summaries": [], "differences": []}


def built(name, **results):
    """One table of some results, which are given as `StudyResults` takes them."""
    return find_table(name).build(StudyResults(**results))


def built_from(results, *names):
    """Some tables of the same results, by name."""
    return {name: find_table(name).build(results) for name in names}


def results_of(study, **changes):
    """Results of a simulated study."""
    known = {name: study[name] for name in ("labels", "statistics", "perplexities", "metrics", "replicates")}
    return StudyResults(**{**known, "comparison": study["aggregate"], **changes})


def records(table: Table) -> list[dict[str, str]]:
    """Rows of a table as its CSV file gives them."""
    return list(csv.DictReader(io.StringIO(to_csv(table))))

"""A page as large as the demo's, from made-up numbers: nine models, seven tasks, curves of each task."""

from pathlib import Path

from simulated_study import LABELS, VARIANTS, simulate_attrition, simulate_histories, simulate_perplexity

from clinical_peft.figures.definitions.attrition import attrition_flow
from clinical_peft.figures.definitions.downstream import FIGURE as MAIN
from clinical_peft.figures.definitions.learning_curves import learning_curves
from clinical_peft.figures.definitions.validation import validation_curves
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.report.html_report import build_report
from clinical_peft.tables.form import Table
from clinical_peft.tables.registry import find_table
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS

TEMPLATE = Path(__file__).parents[2] / "report/report.html.j2"
MODELS = ["tfidf", "bert", *VARIANTS, "bluebert+lora"]
STUDY = {
    **{"study": "made-up", "protocol": "corrected", "contamination": "paper", "split": "hash"},
    **{"split_by_admission": [], "cohorts": "mimic-iii", "synthetic": True, "hospital": True},
    "switches": {"los_rounded": False, "unclipped": True},
}
LEAKAGE = {"tasks": TASKS, "crossing_allowed": [], "held_out_patients": 300, "corpora": {}}


def made_up_comparison() -> dict:
    """A comparison of all models on all tasks; the differences grow with the place of a model."""
    tasks = [*TASKS, "macro_average"]
    values = {model: 0.5 + 0.04 * place for place, model in enumerate(MODELS)}
    interval = {"interval": [0.45, 0.9], "interval_99": [0.4, 0.95]}
    summaries = [
        {"model": model, "task": task, "auroc": value, "seeds": 2, "seed_sd": 0.01, "n": 187, "patients": 150}
        | interval
        | {"classes": 2, "classes_scored": 2, "undefined": 0}
        for model, value in values.items()
        for task in tasks
    ]
    differences = [
        {
            **{"group": "Main comparison", "task": task, "first": first, "second": second},
            **{"difference": values[second] - values[first], "interval": [0.0, 0.1], "interval_total": [-0.02, 0.2]},
            **{"p_total": 0.2, "p_holm_table": 1.0, "significant": task == "macro_average"},
        }
        for task in tasks
        for place, first in enumerate(MODELS)
        for second in MODELS[place + 1 :]
    ]
    macro = [task.name for task in TASKS.values() if not task.is_control]
    return {
        **{"level": 0.95, "resamples": 2000, "macro_tasks": macro, "protocol": "corrected", "cohorts": {}},
        **{"summaries": summaries, "differences": differences},
    }


def made_up_table(name: str, cells: int, rows: int) -> Table:
    """A table of every task with numbers and intervals."""
    header = ("Task", "Model", *(f"Metric {cell} (%)" for cell in range(cells)))
    lines = [
        (task.short, f"{LABELS[MODELS[-1 - row % 3]]['label']} {row}", *["66.8 [62.0, 70.7]"] * cells)
        for task in TASKS.values()
        for row in range(rows)
    ]
    return Table(name, f"Made-up values of {name}.", (), (), header, tuple(lines), ("What they mean.",), 2)


def write_demo_page(folder: Path) -> Path:
    """Write the page and return its path."""
    general = {"general": {"perplexity": {"before": 92.0, "after": 641.0}}}
    adapters = [simulate_perplexity(name, "lora", 9.0) | general for name in ("tiny-lora", "tiny-prefix")]
    statistics = [
        {
            "task": task,
            "classes": 2,
            "multilabel": False,
            "train": 900,
            "validation": 90,
            "test": 187,
            "prevalence": 0.1,
        }
        for task in TASKS
    ]
    results = StudyResults(
        labels=LABELS,
        tasks=TASKS,
        comparison=made_up_comparison(),
        perplexities=adapters,
        statistics=statistics,
        attrition=simulate_attrition(),
        protocol="corrected",
    )
    built = ("downstream_main", "dataset_statistics", "cohort_details", "domain_adaptation", "attrition")
    tables = {name: find_table(name).build(results) for name in built}
    tables |= {name: made_up_table(name, 7, rows) for name, rows in (("metrics", 9), ("calibration", 27))}
    build_report(
        template=TEMPLATE,
        study=STUDY,
        results=results,
        tables=tables,
        figures=draw_demo_figures(folder, results),
        provenance={"git revision": "0" * 40, "versions": {"numpy": "2"}},
        leakage=LEAKAGE,
        config='{"study": "made-up"}',
        output=folder / "report.html",
    )
    return folder / "report.html"


def draw_demo_figures(folder: Path, results: StudyResults) -> dict[str, Path]:
    """Draw the main figure and others, the curves of one task for all."""
    paths = {}
    for suffix, drawings in (("", MAIN.drawings(results)), (".narrow", MAIN.narrow(results))):
        for stem, draw in drawings.items():
            paths[f"{stem}{suffix}"] = folder / f"{stem}{suffix}.svg"
            draw(paths[f"{stem}{suffix}"])
    curves = folder / "curves.svg"
    histories = simulate_histories(tasks=("mortality", "los"))
    validation_curves(histories, LABELS, curves, tasks=TASKS, metric=COMPARED)
    paths |= {f"roc_pr_{task}": curves for task in TASKS}
    learning_curves(results.adapters, LABELS, folder / "learning_curves.svg")
    attrition_flow(results.attrition, TASKS, folder / "attrition.svg")
    return paths | {name: folder / f"{name}.svg" for name in ("learning_curves", "attrition")}

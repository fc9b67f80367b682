"""Maps of hidden states: where admission notes lie for a base, and for the same base with its clinical adapter.

The maps are drawn from the pooled features that heads are trained on. A note is found by its digest; no note is drawn.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from safetensors import SafetensorError, deserialize

from clinical_peft.data.note_digest import note_digest
from clinical_peft.disclosure.counts import hidden_in_margin
from clinical_peft.errors import DataError
from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import COLOURS, MARKERS, legend_text, new_figure
from clinical_peft.files import read_json
from clinical_peft.tables.study_tasks import Tasks, task_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTES = 400  # drawn, of the test split; more would hide each other
FEWEST_NOTES = 5  # a map of fewer shows nothing, and UMAP cannot draw one of three
SEED = 0
MOST_CLASSES = 20  # that a legend names
OTHERS = "others"
PERPLEXITY = 30.0
NEIGHBOURS = 15
TYPES = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "U8": np.uint8}


@dataclass(frozen=True)
class PooledSet:
    """Pooled features of notes, read without torch.

    Attributes:
        base: Name of the base.
        clinical: Name of its clinical adapter, or None.
        settings: What else decides the features, as text; two sets are compared where it is the same.
        features: By digest of the note, float32 of shape (hidden,).
    """

    base: str
    clinical: str | None
    settings: str
    features: Mapping[bytes, np.ndarray]


def read_pooled_set(path: Path) -> PooledSet:
    """Read a file that `clinical_peft.training.pooled_notes.write_pooled` wrote.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        content = Path(path).read_bytes()
        tensors = {name: _array(value) for name, value in deserialize(content)}
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        by = json.loads(header["__metadata__"]["by"])
        rows = dict(zip((bytes(digest) for digest in tensors["digests"]), tensors["features"], strict=True))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path}: no readable features ({type(error).__name__}); pool the notes again") from None
    job = {key: value for key, value in by["job"].items() if not key.startswith("clinical")}
    return PooledSet(by["base"], by["job"]["clinical"], json.dumps(job, sort_keys=True), rows)


def _array(tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] == "BF16":
        # The upper half of a float32.
        halves = np.frombuffer(tensor["data"], np.uint16).astype(np.uint32) << 16
        return halves.view(np.float32).reshape(tensor["shape"])
    return np.frombuffer(tensor["data"], TYPES[tensor["dtype"]]).reshape(tensor["shape"])


def comparable_sets(sets: Sequence[PooledSet]) -> list[tuple[PooledSet, PooledSet]]:
    """Pairs of a base's features and those of the same base with a clinical adapter."""
    plain = {(one.base, one.settings): one for one in sets if one.clinical is None}
    adapted = [one for one in sets if one.clinical is not None]
    return [(plain[key], one) for one in adapted if (key := (one.base, one.settings)) in plain]


def embedding_maps(sets: Sequence[PooledSet], cohorts: Mapping[str, Path], output: Path, *, tasks: Tasks) -> bool:
    """Draw a base's features beside those with its clinical adapter: a row per projection, a column per network.

    Points are test admissions, coloured by outcome. The projections are principal components, t-SNE (van der Maaten and
    Hinton 2008, JMLR 9:2579-2605) and UMAP (McInnes et al. 2018, arXiv 1802.03426), each fitted on one network alone:
    places cannot be compared between panels, but how outcomes group can. The silhouette (Rousseeuw 1987) in a panel's
    title is that of the outcomes in the whole space of features.

    Args:
        sets: Features of every network.
        cohorts: By task, the cohort file.
        output: SVG file to write.
        tasks: The study's tasks.

    Returns:
        Whether the study has features to compare and a cohort with one label per admission, and so a figure.
    """
    pairs = comparable_sets(sets)
    task = _largest_cohort(cohorts, tasks)
    if not pairs or task is None:
        return False
    digests, outcome = _test_notes(cohorts[task])
    classes = read_json(cohorts[task].with_name(f"{task}.classes.json"))
    base, adapted = pairs[0]
    inside = [place for place, digest in enumerate(digests) if digest in base.features and digest in adapted.features]
    chosen = np.random.default_rng(SEED).permutation(inside)[:NOTES]
    chosen = chosen[_publishable(outcome[chosen])] if len(chosen) else chosen
    if len(chosen) < FEWEST_NOTES:
        return False
    columns = {f"{base.base}, frozen": base, f"with {adapted.clinical}": adapted}
    methods = _projections(len(chosen))
    with new_figure(output, (7.4, 3.3 * len(methods) + 0.5)) as figure:
        panels = figure.subplots(len(methods), 2, squeeze=False)
        for column, (title, pooled) in enumerate(columns.items()):
            features = _standardised(np.stack([pooled.features[digests[place]] for place in chosen]))
            separation = _silhouette(features, outcome[chosen])
            for row, (name, project) in enumerate(methods.items()):
                _draw(panels[row, column], project(features), outcome[chosen], classes)
                panels[row, column].set_title(f"{title}: {name}{separation if row == 0 else ''}")
        handles, texts = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, title=tasks[task].short, loc="outside lower center", ncols=4)
    return True


def _largest_cohort(cohorts: Mapping[str, Path], tasks: Tasks) -> str | None:
    """The task with the most admissions, among those with one label per admission that a note can predict."""
    fit = [name for name in cohorts if not (tasks[name].multilabel or tasks[name].is_control)]
    fit.sort(key=task_order(tasks).index)
    return max(fit, key=lambda name: int(pq.read_metadata(cohorts[name]).num_rows), default=None)


def _publishable(outcome: np.ndarray) -> np.ndarray:
    """Which points have an outcome whose points may be counted, bool of shape (N,)."""
    _, place, counts = np.unique(outcome, return_inverse=True, return_counts=True)
    hidden = hidden_in_margin(counts.tolist())
    return ~np.isin(place, list(hidden)) if hidden else np.ones(len(place), bool)


def _test_notes(cohort: Path) -> tuple[list[bytes], np.ndarray]:
    """Digest and label of each test admission, by hadm_id."""
    table = pq.read_table(cohort, columns=["hadm_id", "text", "label"], filters=[("split", "=", "test")])
    table = table.sort_by("hadm_id")
    return [note_digest(text) for text in table.column("text").to_pylist()], table.column("label").to_numpy()


def _standardised(features: np.ndarray) -> np.ndarray:
    spread = features.std(axis=0)
    return np.asarray((features - features.mean(axis=0)) / np.where(spread > 0, spread, 1), dtype=np.float64)


def _silhouette(features: np.ndarray, outcome: np.ndarray) -> str:
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(outcome)) < len(outcome):
        return ""
    return f" (silhouette {silhouette_score(features, outcome):.2f})"


def _projections(notes: int) -> dict[str, Any]:
    # Imported where they are needed: UMAP compiles for seconds, and most studies draw no map.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from umap import UMAP

    perplexity = min(PERPLEXITY, (notes - 1) / 3)
    neighbours = min(NEIGHBOURS, notes - 1)
    return {
        "PCA": PCA(2, svd_solver="full").fit_transform,
        "t-SNE": TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform,
        # One thread: with a seed umap-learn uses no more, and warns where more are asked for.
        "UMAP": UMAP(n_neighbors=neighbours, random_state=SEED, n_jobs=1).fit_transform,
    }


def _draw(axes: "Axes", places: np.ndarray, outcome: np.ndarray, classes: Sequence[Any]) -> None:
    for shown, (rows, label) in enumerate(class_groups(outcome, classes)):
        place = shown + shown // len(COLOURS)  # so that no pair of marker and colour comes twice
        style: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "color": COLOURS[shown % len(COLOURS)]}
        if label == OTHERS:
            style = {"marker": ".", "color": "#999999"}
        axes.plot(places[rows, 0], places[rows, 1], linestyle="", markersize=3, alpha=0.75, label=label, **style)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def class_groups(outcome: np.ndarray, classes: Sequence[Any]) -> list[tuple[np.ndarray, str]]:
    """Rows of each class and its name; of many classes those with the most points, and the others together."""
    groups = []
    for index, name in enumerate(classes):
        label = {0: "no", 1: "yes"}.get(name, str(name)) if len(classes) == 2 else str(name)
        groups.append((outcome == (name if isinstance(name, int) else index), legend_text(label)))
    if len(groups) <= MOST_CLASSES:
        return groups
    largest = sorted(range(len(groups)), key=lambda index: -int(groups[index][0].sum()))[:MOST_CLASSES]
    others = ~np.any([groups[index][0] for index in largest], axis=0)
    return [*(groups[index] for index in sorted(largest)), (others, OTHERS)]


FIGURE = StudyFigure(
    name="embeddings",
    place=7,
    section="curves",
    needs=("features", "cohorts"),
    caption=(
        "Where the test {units} lie in the space of hidden states, for the base and for the same base with its "
        "clinical adapter, coloured by outcome. A point is {a_unit}. Each panel is fitted by itself: how "
        "outcomes group can be compared between panels, places cannot. The silhouette, from -1 to 1, says how far "
        "outcomes form groups of their own in the whole space; 0 is none."
    ),
    drawings=lambda results: {
        "embeddings": lambda output: embedding_maps(
            [read_pooled_set(path) for path in results.features], results.cohorts, output, tasks=results.tasks
        )
    },
)

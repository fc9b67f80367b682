"""How a study describes a table of its own, in records that rules hand to jobs as JSON; imports no table library."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

LIST_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train.csv", "mimic_train.csv"),
    "validation": ("validation.csv", "mimic_val.csv"),
    "test": ("test.csv", "mimic_test.csv"),
}
"""Names that a list of patients may have, by split, the usual one first."""

SplitKind = Literal["hash", "column", "lists", "temporal", "site", "files"]


@dataclass(frozen=True, kw_only=True)
class SplitSpec:
    """How the patients of a table are split.

    Attributes:
        kind: `hash` of the patient; `column`, which holds train, validation or test; `lists` of patients in a folder;
            `temporal`, by time; `site`, by hospital; `files`, one file per split.
        column: Column of the split, for `column`.
        folder: Folder of train.csv, validation.csv and test.csv, for `lists`.
        validation: First date of the validation split for `temporal`, as YYYY-MM-DD; its sites for `site`.
        test: The same of the test split.
    """

    kind: SplitKind = "hash"
    column: str | None = None
    folder: str | None = None
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @property
    def lists(self) -> dict[str, Path]:
        """Files of the lists of patients by split, for `lists`: those that are there, or their usual names."""
        if self.folder is None:
            return {}
        files = {split: [Path(self.folder) / name for name in names] for split, names in LIST_NAMES.items()}
        return {split: next((path for path in paths if path.is_file()), paths[0]) for split, paths in files.items()}


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """A user's own table of notes.

    Attributes:
        name: Name in the study: a source and a corpus.
        paths: Files by split, or one file under "".
        id: Column of the unique id.
        text: Columns of the text; several are joined under their names as headings.
        patient: Column of the patient; None to take near-duplicate notes for those of one patient.
        time: Column of the time; None if there is none.
        site: Column of the hospital; None if there is none.
        subgroups: Columns to compare metrics between, each with the values that may be printed; others are "other".
        split: How its patients are split.
    """

    name: str
    paths: Mapping[str, str]
    id: str
    text: tuple[str, ...]
    patient: str | None = None
    time: str | None = None
    site: str | None = None
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: SplitSpec = field(default_factory=SplitSpec)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order of the study."""
        return tuple(map(Path, self.paths.values()))

    def as_record(self) -> dict[str, Any]:
        """The description, JSON-ready."""
        record = asdict(self)
        record["text"] = list(self.text)
        record["subgroups"] = {column: list(values) for column, values in self.subgroups.items()}
        record["split"] |= {"validation": list(self.split.validation), "test": list(self.split.test)}
        return record


def table_from_record(record: Mapping[str, Any]) -> TableSpec:
    """Rebuild a description from `TableSpec.as_record`."""
    split = dict(record["split"])
    split |= {name: tuple(split[name]) for name in ("validation", "test")}
    subgroups = {column: tuple(values) for column, values in record["subgroups"].items()}
    values = {**record, "text": tuple(record["text"]), "subgroups": subgroups, "split": SplitSpec(**split)}
    return TableSpec(**values)

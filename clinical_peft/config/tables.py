"""The section `data.tables`: a user's own files of notes, and how their patients are split."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from clinical_peft.config.alternatives import LIST, MAPPING, PLAIN, PLAIN_OR_LIST, PLAIN_OR_MAPPING, Text
from clinical_peft.config.sections import Section, UserPath

ROW_ID = "hadm_id"
"""Name of the column of ids beside those of subgroups."""


class FilesBySplit(Section):
    """One file for each split."""

    train: UserPath
    validation: UserPath
    test: UserPath


class TemporalSplit(Section):
    """A split by time: what comes before `validation` is the training split."""

    validation: date = Field(description="first day of the validation split")
    test: date = Field(description="first day of the test split")

    @model_validator(mode="after")
    def _check_order(self) -> "TemporalSplit":
        if self.validation >= self.test:
            raise ValueError(f"expected validation before test, found {self.validation} and {self.test}")
        return self


class SiteSplit(Section):
    """A split by site: those that neither list names are the training split."""

    validation: list[Text] = Field(min_length=1, description="sites of the validation split")
    test: list[Text] = Field(min_length=1, description="sites of the test split")

    @model_validator(mode="after")
    def _check_sites(self) -> "SiteSplit":
        if len({*self.validation, *self.test}) < len(self.validation) + len(self.test):
            raise ValueError("expected each site once, found one twice; remove it from a list")
        return self


class GivenSplit(Section):
    """A split other than by hash; exactly one of the keys."""

    column: Text | None = Field(None, description="column that holds train, validation or test")
    lists: UserPath | None = Field(
        None, description="folder of train.csv, validation.csv and test.csv, each a list of patients"
    )
    temporal: TemporalSplit | None = Field(None, description="first days of the validation and test splits")
    site: SiteSplit | None = Field(None, description="sites of the validation and test splits")

    @model_validator(mode="after")
    def _check_one(self) -> "GivenSplit":
        if sum(value is not None for _, value in self) != 1:
            raise ValueError("expected one of column, lists, temporal and site; or hash")
        return self


class Table(Section):
    """One hospital's file of notes (.csv, .jsonl or .parquet, gzipped or not): a source and a corpus of its own."""

    path: Annotated[
        Annotated[UserPath, PLAIN] | Annotated[FilesBySplit, MAPPING],
        PLAIN_OR_MAPPING,
        Field(description="the file, or one for each of train, validation and test"),
    ]
    id: Text = Field(description="column of the note's id: unique, or with one file per split unique in each")
    text: Annotated[
        Annotated[Text, PLAIN] | Annotated[list[Text], LIST, Field(min_length=1)],
        PLAIN_OR_LIST,
        Field(description="column of the text, or several that are joined under their names as headings"),
    ]
    patient: Text | None = Field(
        None, description="column of the patient; without one, near-duplicate notes are those of one patient"
    )
    time: Text | None = Field(None, description="column of the time, for a temporal split")
    site: Text | None = Field(None, description="column of the hospital, for a split by site")
    subgroups: dict[Text, Annotated[list[Text], Field(min_length=1)]] = Field(
        {}, description="columns to compare metrics between, with the values that may be printed; others are `other`"
    )
    split: Annotated[
        Annotated[Literal["hash"], PLAIN] | Annotated[GivenSplit, MAPPING],
        PLAIN_OR_MAPPING,
        Field(description="`hash` of the patient, by a column, by lists, by time or by site"),
    ] = "hash"

    @model_validator(mode="before")
    @classmethod
    def _refuse_split_of_files(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("path"), dict) and "split" in given:
            raise ValueError("split: a path by split says it already; remove one of the two")
        return given

    @model_validator(mode="after")
    def _check_columns(self) -> "Table":
        if isinstance(self.split, GivenSplit):
            if self.split.temporal is not None and self.time is None:
                raise ValueError("split: temporal needs time, the column of the time")
            if self.split.site is not None and self.site is None:
                raise ValueError("split: site needs site, the column of the hospital")
            if self.split.lists is not None and self.patient is None:
                raise ValueError("split: lists needs patient, the column of the patients that they list")
        texts = self.columns_of_text
        if len({*map(self.spelling, texts)}) < len(texts):
            raise ValueError("text: expected each column once, found one twice")
        for role in ("id", "patient"):
            if self.spelling(getattr(self, role) or "") in map(self.spelling, texts):
                raise ValueError(f"{role}: expected a column of its own, found {getattr(self, role)}, a column of text")
        for column, values in self.subgroups.items():
            if self.spelling(column) in {self.spelling(one) for one in (self.id, self.patient, *texts) if one}:
                raise ValueError(
                    f"subgroups.{column}: expected a column of groups, found that of the id, patient or text"
                )
            if column == ROW_ID:
                raise ValueError(f"subgroups.{column}: this name is taken by the id of rows; rename the column")
            if len(set(values)) < len(values):
                raise ValueError(f"subgroups.{column}: expected each value once, found one twice")
        return self

    def spelling(self, column: str) -> str:
        """Return a column's name for comparison: columns of a CSV file do not differ by letter case."""
        paths = [self.path] if not isinstance(self.path, FilesBySplit) else list(dict(self.path).values())
        is_csv = any(str(path).lower().removesuffix(".gz").endswith(".csv") for path in paths)
        return column.lower() if is_csv else column

    @property
    def columns_of_text(self) -> tuple[str, ...]:
        """Columns that hold the text."""
        return (self.text,) if isinstance(self.text, str) else tuple(self.text)

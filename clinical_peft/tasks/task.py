"""Properties of a clinical task, in one record; imports no table library and no torch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels

TaskType = Literal["binary", "multiclass", "multilabel"]
Columns = Mapping[str, Literal["integer", "text", "time"]]
"""Columns of a table, and what stands in them."""


def columns(*, integer: str = "", time: str = "", text: str = "") -> Columns:
    """Describe the columns that are read of a table.

    Args:
        integer: Names of columns of whole numbers, separated by blanks.
        time: Names of columns of times.
        text: Names of other columns.
    """
    return {
        **dict.fromkeys(integer.split(), "integer"),
        **dict.fromkeys(time.split(), "time"),
        **dict.fromkeys(text.split(), "text"),
    }


SURVIVAL = columns(integer="HADM_ID SUBJECT_ID HOSPITAL_EXPIRE_FLAG")
STAYS: Columns = {**SURVIVAL, **columns(time="ADMITTIME DISCHTIME")}
ICD9 = columns(integer="SUBJECT_ID HADM_ID", text="ICD9_CODE")
ICD9_OR_10 = columns(integer="subject_id hadm_id icd_version", text="icd_code")


@dataclass(frozen=True)
class Statement:
    """A statement in a note that reveals an outcome.

    Attributes:
        pattern: Regular expression; case is ignored.
        words: In lower case, of which every match holds one: a note without them is not searched, which spares most.
    """

    pattern: str
    words: tuple[str, ...]

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled."""
        return re.compile(self.pattern, re.IGNORECASE)


POSTOPERATIVE_DAY = Statement(r"\b(?:pod|post-?\s?op(?:erative)?\s+day)\s*+(?:#\s*+)?\d+", ("pod", "post"))
"""How long a stay has lasted, and that there was an operation."""

_NOTHING: Mapping[str, Statement] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class CodeTable:
    """The table whose codes are the labels of a multilabel task.

    Attributes:
        name: Its name in MIMIC-III; MIMIC-IV has it in lower case.
        icd9_form: Regular expression of a whole ICD-9-CM code, as MIMIC writes it.
        icd9_category: Regular expression of what stands before the dot where the code is printed with one.
        icd10_form: Regular expression of a whole ICD-10 code.
        icd10_category: As for ICD-9-CM; None where codes have no dot.
        four_characters: First characters of the ICD-9-CM codes whose group has four characters; others have three.
        may_be_integers: Whether its ICD-9-CM codes hold digits alone, so that the original could read them as integers.
        icd10_may_begin_with_0: Whether an ICD-10 code may.
        enough_for_zeros: So many codes of digits without one that begins with 0 show that zeros were lost: they lack
            it by chance in at most one table of a thousand, if codes are drawn with the shares of MIMIC-III's demo.
    """

    name: str
    icd9_form: str
    icd9_category: str
    icd10_form: str
    icd10_category: str | None = None
    four_characters: tuple[str, ...] = ()
    may_be_integers: bool = False
    icd10_may_begin_with_0: bool = False
    enough_for_zeros: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """A prediction task on admission notes.

    Attributes:
        name: Key in a study, and stem of its files.
        title: Name for readers.
        short: Column title in tables.
        place: Order among tasks in tables and figures.
        type: Binary, multiclass (one class of several) or multilabel (any number of codes).
        tables: Tables that the labels come from, with the columns read of each, by source.
        label: Finds the labels; imports what it needs when it is called.
        classes: Names of the classes in the order of the integer labels; empty for a multilabel task, whose label space
            comes from the data.
        codes: Where the codes of a multilabel task stand.
        labelled_step: What a note has once it is labelled, for the attrition table; empty where other steps say it.
        reads_ventilation: Whether labels need the derived episodes of ventilation, or BEEP's list.
        has_own_split: Whether `data.pmv_split` says how it is split; others are split by patient.
        switches: Switches that its label function reads, beside those of all tasks with codes.
        drops_death_statements: Whether notes lose statements of death, or are dropped for them.
        stated_outcomes: Statements that give the outcome away, by name.
        is_published: Whether it is one of the paper's five tasks, over which macro averages run.
        is_control: Whether its label is random.
        release_rows: Admissions in training and in all, by source, where they were published, for plans.
        cohort_share: Share of the synthetic hospital's admission notes that have a label, for plans.
        summary_shares: Share of a source's discharge summaries that have a label, for plans, where it is not the usual.
    """

    name: str
    title: str
    short: str
    place: int
    type: TaskType
    tables: Mapping[str, Mapping[str, Columns]]
    label: "Callable[[LabelRequest], Labels]"
    classes: tuple[str, ...] = ()
    codes: CodeTable | None = None
    labelled_step: str = ""
    reads_ventilation: bool = False
    has_own_split: bool = False
    switches: tuple[str, ...] = ()
    drops_death_statements: bool = False
    stated_outcomes: Mapping[str, Statement] = field(default_factory=lambda: _NOTHING)
    is_published: bool = True
    is_control: bool = False
    release_rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    cohort_share: float = 0.95
    summary_shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_own:
            return
        if (self.type == "multilabel") != (self.codes is not None):
            raise ValueError(f"task {self.name}: a multilabel task, and no other, names the table of its codes")
        if self.type != "multilabel" and not self.classes:
            raise ValueError(f"task {self.name}: names no classes")

    @property
    def is_own(self) -> bool:
        """Whether a study defines it, rather than this package."""
        return False

    @property
    def multilabel(self) -> bool:
        """Whether a label is a list of codes."""
        return self.type == "multilabel"

    @property
    def binary(self) -> bool:
        """Whether a label is 0 or 1."""
        return self.type == "binary"

    @property
    def is_random(self) -> bool:
        """Whether labels depend on `data.split_salt`."""
        return self.is_control

    @property
    def title_in_a_sentence(self) -> str:
        """The title within a sentence, followed by the short name."""
        first = self.title[:1] if self.title[1:2].isupper() else self.title[:1].lower()  # an acronym keeps its case
        return f"{first}{self.title[1:]} ({self.short})"

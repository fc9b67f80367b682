"""The form of the golden hospital's admissions: the notes of each, and what each protocol makes of them."""

from dataclasses import dataclass, field

DISCHARGE = "Discharge summary"
END = "\n\nDischarge Condition:\nGood\n"
DAY = 86_400


@dataclass(frozen=True)
class Note:
    """A row of NOTEEVENTS; the text is written out in full."""

    row: int
    text: str
    date: str = "2150-01-10"
    description: str = "Report"
    category: str = DISCHARGE
    admission: str | None = None
    error: str = ""


@dataclass(frozen=True)
class Case:
    """An admission and what becomes of it.

    Attributes:
        paper: Sections of the admission note that are not empty, under protocol `paper`; None when there is no note.
        corrected: The same under `corrected`.
        mortality: The same two for the note of the mortality cohort, where its filter changes or drops it.
    """

    why: str
    notes: tuple[Note, ...]
    paper: dict[str, str] | None
    corrected: dict[str, str] | None
    mortality: tuple[dict[str, str] | None, dict[str, str] | None] | None = None
    died: int = 0
    seconds: int = 5 * DAY
    kind: str = "URGENT"
    split: str | None = "train"
    patient: int | None = None
    diagnoses: tuple[str, ...] = ("4019",)
    procedures: tuple[str, ...] = ("3893",)
    labels: dict[str, tuple[object, object]] = field(default_factory=dict)

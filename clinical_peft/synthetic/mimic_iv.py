"""The MIMIC-IV part of the synthetic hospital: notes, and the tables of the same admissions, one after the other."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from clinical_peft.synthetic.copied_notes import CopiedNote, copied_notes
from clinical_peft.synthetic.discharge_notes import as_mimic_iv, discharge_sections, render
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.mimic_iii_rows import stamp
from clinical_peft.synthetic.mimic_iv_tables import MimicIVTables, NotedAdmission
from clinical_peft.synthetic.other_notes import radiology_report
from clinical_peft.synthetic.patients import MIMIC_IV, ROWS, Admission, Patient, simulate_patient
from clinical_peft.synthetic.planted_notes import LINE_BREAKS
from clinical_peft.synthetic.tables import MIMIC_IV_COLUMNS, GzipTable

FIRST_SUBJECT, FIRST_ADMISSION = 950_000_000, 960_000_000
OVERLAP = 11  # stream of random numbers
_CYCLE = 300  # one note of each edge case in so many discharge notes
_AT = {"empty": 37, "carriage_return": 83, "unicode_break": 121, "duplicate": 169}
_RADIOLOGY_WITHOUT_ADMISSION = 0.2
_RADIOLOGY_ADDENDUM = 0.03
_UNKNOWN_STORE_TIME = 0.05
_FIRST_COPY = 21  # above every number of a summary


@dataclass(frozen=True)
class _Stay(NotedAdmission):
    """An admission of a MIMIC-IV patient with the text of its summary."""

    text: Callable[[], str]


class MimicIV:
    """Writes exactly the wanted numbers of discharge and radiology notes, and their tables, in constant memory.

    Args:
        folder: Folder of the notes, to create.
        seed: Seed of the hospital.
        overlap: MIMIC-III patients who are also patients here.
        text_of: Returns the discharge summary of an admission of theirs, as MIMIC-III has it.
        copies: Copied notes of each of their admissions, written as addenda.
        lists: Texts that mention no patient, written as addenda to the notes of patients who are here alone.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        overlap: Sequence[Patient],
        text_of: Callable[[Admission], str],
        copies: int = 0,
        lists: Sequence[str] = (),
    ) -> None:
        folder.mkdir()
        self.found: Counter[str] = Counter()
        self._folder = folder
        self._seed = seed
        self._overlap = overlap
        self._text_of = text_of
        self._copies = copies
        self._lists = lists

    def write(self, discharge: int, radiology: int, tables: MimicIVTables | None = None) -> dict[str, int]:
        """Write both files, and the rows of ``tables`` where given; return the number of notes in each file.

        Copied notes and lists are on top of the wanted numbers.
        """
        previous = ""
        listed = 0
        with (
            GzipTable(self._folder / "discharge.csv.gz", MIMIC_IV_COLUMNS) as discharges,
            GzipTable(self._folder / "radiology.csv.gz", MIMIC_IV_COLUMNS) as examinations,
        ):
            for number, stay in zip(range(discharge), self._stays(discharge), strict=False):
                draws = Draws(self._seed, MIMIC_IV, ROWS, number)
                previous = self._with_edge_case(stay.text(), number % _CYCLE, previous)
                discharges.write(*_discharge_row(draws, stay, previous))
                if stay.shared:
                    for note in copied_notes(stay.admission, self._copies):
                        discharges.write(*_addendum_row(stay, note, discharges.rows))
                else:
                    due = (number + 1) * len(self._lists) // discharge
                    for text in self._lists[listed:due]:
                        note = CopiedNote(stay.admission.discharged, text)
                        discharges.write(*_addendum_row(stay, note, discharges.rows))
                    listed = due
                if tables is not None:
                    tables.write(stay)
                for _ in range(examinations.rows, (number + 1) * radiology // discharge):
                    examinations.write(*_radiology_row(draws, stay, examinations.rows))
            return {"discharge": discharges.rows, "radiology": examinations.rows}

    def _with_edge_case(self, text: str, place: int, previous: str) -> str:
        case = next((name for name, at in _AT.items() if at == place), None)
        if case is None:
            return text
        self.found[f"mimic_iv_{case}"] += 1
        if case == "empty":
            return ""
        if case == "duplicate":
            return previous
        if case == "carriage_return":
            return text.replace("\n", "\r\n")
        return text.replace(" ", LINE_BREAKS[0], 3)

    def _stays(self, discharge: int) -> Iterator[_Stay]:
        """Yield admissions without end, those of the shared patients evenly among the others."""
        guests = sum(len(patient.admissions) for patient in self._overlap)
        every = max(1, (discharge - guests) // (len(self._overlap) + 1))
        waiting = iter(self._overlap)
        subject, hadm, index, fresh = FIRST_SUBJECT, FIRST_ADMISSION, 0, 0
        while True:
            guest = next(waiting, None) if fresh >= every else None
            if guest is not None:
                patient, fresh = guest, 0
            else:
                patient = simulate_patient(self._seed, MIMIC_IV, index, subject, hadm)
                index += 1
                fresh += len(patient.admissions)
            subject += 1
            # Dates are shifted anew in this database.
            shift = timedelta(days=365 * (index % 7 - 3))
            for admission in patient.admissions:
                hadm += 1
                self.found["overlapping_admissions"] += guest is not None
                shared = guest is not None
                yield _Stay(patient, admission, subject, hadm, shift, shared, self._writer(admission, shared))

    def _writer(self, admission: Admission, shared: bool) -> Callable[[], str]:
        if shared:
            return lambda: as_mimic_iv(self._text_of(admission))
        return lambda: as_mimic_iv(render(discharge_sections(admission)))


def _discharge_row(draws: Draws, stay: _Stay, text: str) -> tuple[str | int | None, ...]:
    sequence = 2 + stay.hadm_id % 19
    day = (stay.admission.discharged + stay.shift).replace(hour=0, minute=0, second=0)
    kind = "DS"
    return (
        f"{stay.subject_id}-{kind}-{sequence}",
        stay.subject_id,
        stay.hadm_id,
        kind,
        sequence,
        stamp(day),
        _store_time(draws, day),
        text,
    )


def _addendum_row(stay: _Stay, note: CopiedNote, written: int) -> tuple[str | int | None, ...]:
    sequence, kind = _FIRST_COPY + written, "AD"
    time = stamp(note.when + stay.shift)
    return (
        f"{stay.subject_id}-{kind}-{sequence}",
        stay.subject_id,
        stay.hadm_id,
        kind,
        sequence,
        time,
        time,
        note.text,
    )


def _radiology_row(draws: Draws, stay: _Stay, written: int) -> tuple[str | int | None, ...]:
    sequence = 3 + written
    kind = "AR" if draws.chance(_RADIOLOGY_ADDENDUM) else "RR"
    outpatient = draws.chance(_RADIOLOGY_WITHOUT_ADMISSION)
    time = stay.admission.admitted + stay.shift + timedelta(minutes=draws.integer(20, 1_400))
    _, text = radiology_report(draws, stay.admission)
    return (
        f"{stay.subject_id}-{kind}-{sequence}",
        stay.subject_id,
        None if outpatient else stay.hadm_id,
        kind,
        sequence,
        stamp(time),
        _store_time(draws, time),
        text,
    )


def _store_time(draws: Draws, time: datetime) -> str | None:
    if draws.chance(_UNKNOWN_STORE_TIME):
        return None
    return stamp(time + timedelta(minutes=draws.integer(5, 2_000)))

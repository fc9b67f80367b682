"""Admission notes: what a discharge summary says that was known at admission, one per hospital admission.

Follows the task code of van Aken et al., "Clinical Outcome Prediction from Admission Notes using Self-Supervised
Knowledge Integration" (EACL 2021).
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from clinical_peft.data.attrition import ADMISSIONS, NOTES, Attrition, Tally
from clinical_peft.data.consistency import check_key
from clinical_peft.data.joined_notes import ADMISSION_SCHEMA, JoinedNotes, joined_notes, place_notes
from clinical_peft.data.note_cleaning import normalise_marks
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.sections import MAIN_SECTIONS, admission_note, anchored_sections, unanchored_sections
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import FLAG, INTEGER, TEXT, marked_as_error, read_table, stream_table, stripped
from clinical_peft.files import PARTIAL
from clinical_peft.sources.mimic_iii.original_reader import MISSING_WORDS

_TEXT_SCHEMA = pa.schema([("text", pa.string())])
_NOTE_COLUMNS = {
    "ROW_ID": INTEGER,
    "SUBJECT_ID": INTEGER,
    "HADM_ID": INTEGER,
    "CHARTDATE": TEXT,
    "CATEGORY": TEXT,
    "DESCRIPTION": TEXT,
    "ISERROR": FLAG,
    "TEXT": TEXT,
}
Condition = Callable[[pa.RecordBatch], pa.Array]
_READ_AS_MISSING = pa.array(MISSING_WORDS)


def build_admission_notes(
    mimic_iii: Path,
    output: Path,
    *,
    sections_unanchored: bool,
    addenda_searched: bool,
    error_notes_kept: bool,
    marks_kept: bool,
) -> list[dict[str, object]]:
    """Write the admission note of every adult admission that has one, at constant memory.

    Discharge summaries of admissions that are not of a newborn are ordered by (CHARTDATE, ROW_ID), a text that
    occurs twice anywhere keeps its last row, an admission without a report is dropped, the texts of an admission are
    joined, and the eight sections known at admission are cut out.

    Args:
        mimic_iii: Folder with NOTEEVENTS and ADMISSIONS.
        output: Parquet file to write: hadm_id, subject_id, text, in the order in which the last notes of the
            admissions stand in NOTEEVENTS.
        sections_unanchored: Cut sections as the original does; otherwise at headers that start a line.
        addenda_searched: Join addenda to the reports, as the original does; they are written after discharge.
        error_notes_kept: Take summaries that are marked as errors (ISERROR 1) like any other, as the original does.
        marks_kept: Keep de-identification marks as they are, as the original does; otherwise each becomes ``___``.

    Returns:
        Ordered steps, each with ``step``, ``unit``, ``rows`` and ``patients`` left; also kept in the file's metadata.

    Raises:
        DataError: A table is missing, malformed or names an admission twice, or a step leaves nothing.
    """
    attrition = Attrition()
    conditions = _conditions(mimic_iii, sections_unanchored, error_notes_kept)
    cut = unanchored_sections if sections_unanchored else anchored_sections
    with (
        parquet_writer(output, ADMISSION_SCHEMA) as writer,
        tempfile.TemporaryDirectory(prefix=PARTIAL, dir=Path(output).parent) as folder,
    ):
        texts = Path(folder) / "texts.parquet"
        summaries = _discharge_summaries(find_table(mimic_iii, "NOTEEVENTS"), texts, attrition, conditions)
        tally = Tally()
        for admissions in joined_notes(texts, _choose(summaries, attrition, addenda_searched)):
            rows = [row for admission in admissions if (row := _admission_row(admission, cut, marks_kept))]
            batch = pa.Table.from_pylist(rows, schema=ADMISSION_SCHEMA)
            tally.add(batch["subject_id"])
            writer.write_table(batch)
        step = "with a chief complaint, present illness or medical history"
        attrition.add(step, rows=tally.rows, patients=tally.patients, unit=ADMISSIONS)
        writer.add_key_value_metadata(attrition.metadata())
    return attrition.steps


def _discharge_summaries(
    noteevents: Path, texts: Path, attrition: Attrition, conditions: Mapping[str, Condition]
) -> pd.DataFrame:
    """Write the text of every note that meets the conditions, and return what decides which are kept, in file order."""
    tallies = {step: Tally() for step in ("rows of NOTEEVENTS", *conditions)}
    parts: list[pd.DataFrame] = []
    with pq.ParquetWriter(texts, _TEXT_SCHEMA, compression="zstd", use_dictionary=False) as writer:
        for batch in stream_table(noteevents, _NOTE_COLUMNS, times=("CHARTDATE",)):
            tallies["rows of NOTEEVENTS"].add(batch["SUBJECT_ID"])
            for step, holds in conditions.items():
                batch = batch.filter(holds(batch))
                tallies[step].add(batch["SUBJECT_ID"])
            if batch.num_rows:
                writer.write_batch(pa.RecordBatch.from_arrays([batch["TEXT"]], schema=_TEXT_SCHEMA))
                parts.append(_described(batch))
    for step, tally in tallies.items():
        attrition.add(step, rows=tally.rows, patients=tally.patients, unit=NOTES)
    return pd.concat(parts, ignore_index=True)


def _described(batch: pa.RecordBatch) -> pd.DataFrame:
    """One row per note: row_id, subject_id, hadm_id, chartdate, is_report, and the text's hash."""
    columns = {name: name.lower() for name in ("ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE")}
    described = batch.select(list(columns)).to_pandas(types_mapper={INTEGER: pd.Int64Dtype()}.get)
    digests = [xxhash.xxh3_128_digest(text.as_buffer()) for text in batch["TEXT"]]
    is_report = pc.fill_null(pc.equal(stripped(batch["DESCRIPTION"]), "Report"), False)
    return described.rename(columns=columns).assign(is_report=is_report.to_pandas(), digest=digests)


def _conditions(mimic_iii: Path, sections_unanchored: bool, error_notes_kept: bool) -> dict[str, Condition]:
    """What a row of NOTEEVENTS has to meet, in order, by the name of the step."""
    path = find_table(mimic_iii, "ADMISSIONS")
    admissions = check_key(read_table(path, {"HADM_ID": INTEGER, "ADMISSION_TYPE": TEXT}), "HADM_ID", path)
    admissions = admissions.dropna(subset=["HADM_ID"])
    listed = pa.array(admissions["HADM_ID"].astype("int64"))
    newborns = pa.array(admissions["HADM_ID"][admissions["ADMISSION_TYPE"].str.strip() == "NEWBORN"].astype("int64"))

    def has_text(batch: pa.RecordBatch) -> pa.Array:
        present = pc.is_valid(batch["TEXT"])
        if not sections_unanchored:
            return present
        return pc.and_(present, pc.invert(pc.is_in(batch["TEXT"], value_set=_READ_AS_MISSING)))

    right: dict[str, Condition] = {"not marked as an error": lambda batch: pc.invert(marked_as_error(batch["ISERROR"]))}
    return {
        "discharge summaries": lambda batch: pc.equal(stripped(batch["CATEGORY"]), "Discharge summary"),
        **({} if error_notes_kept else right),
        "with text": has_text,
        "with an admission": lambda batch: pc.is_valid(batch["HADM_ID"]),
        "of an admission in ADMISSIONS": lambda batch: pc.is_in(batch["HADM_ID"], value_set=listed),
        "not of a newborn": lambda batch: pc.invert(pc.is_in(batch["HADM_ID"], value_set=newborns)),
    }


def _choose(summaries: pd.DataFrame, attrition: Attrition, addenda_searched: bool) -> pd.DataFrame:
    """The places of the notes that count; an admission is its last report's patient's."""
    # The original's sort is unstable; ROW_ID orders the notes of one day.
    notes = summaries.sort_values(["chartdate", "row_id"], kind="stable", na_position="last")
    notes = attrition.record(
        "last of each set of equal texts", notes.drop_duplicates("digest", keep="last"), unit=NOTES
    )
    reports = notes[notes["is_report"]]
    last = reports.drop_duplicates("hadm_id", keep="last").dropna(subset=["subject_id"])
    notes = notes[notes["hadm_id"].isin(last["hadm_id"])]
    attrition.record("of an admission with a report", notes, unit=NOTES)
    if not addenda_searched:
        notes = attrition.record("reports, not addenda", notes[notes["is_report"]], unit=NOTES)
    return place_notes(notes, attrition.record("joined by admission", last))


def _admission_row(
    admission: JoinedNotes, cut: Callable[[str], dict[str, str]], marks_kept: bool
) -> dict[str, object] | None:
    """The admission's note, or None where it has none of the main sections."""
    sections = cut("\n\n".join(row["text"] for row in admission.rows).strip())
    if not any(sections[title] for title in MAIN_SECTIONS):
        return None
    if not marks_kept:
        sections = {title: normalise_marks(body) for title, body in sections.items()}
    return {"hadm_id": admission.hadm_id, "subject_id": admission.subject_id, "text": admission_note(sections)}

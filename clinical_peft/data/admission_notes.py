"""Admission notes: what a discharge summary says that was known at admission, one per hospital admission.

Follows the task code of van Aken et al., "Clinical Outcome Prediction from Admission Notes using Self-Supervised
Knowledge Integration" (EACL 2021).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.attrition import NOTES, Attrition, Tally
from clinical_peft.data.consistency import check_key
from clinical_peft.data.note_cleaning import normalise_marks
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.original_reader import MISSING_WORDS
from clinical_peft.data.sections import MAIN_SECTIONS, admission_note, anchored_sections, unanchored_sections
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, marked_as_error, read_table, stream_table

ADMISSION_SCHEMA = pa.schema([("hadm_id", pa.int64()), ("subject_id", pa.int64()), ("text", pa.string())])
_NOTE_COLUMNS = {
    "ROW_ID": INTEGER,
    "SUBJECT_ID": INTEGER,
    "HADM_ID": INTEGER,
    "CHARTDATE": TEXT,
    "CATEGORY": TEXT,
    "DESCRIPTION": TEXT,
    "ISERROR": TEXT,
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
    """Write the admission note of every adult admission that has one.

    Discharge summaries of admissions that are not of a newborn are ordered by (CHARTDATE, ROW_ID), a text that
    occurs twice anywhere keeps its last row, an admission without a report is dropped, the texts of an admission are
    joined, and the eight sections known at admission are cut out.

    Args:
        mimic_iii: Folder with NOTEEVENTS and ADMISSIONS.
        output: Parquet file to write: hadm_id, subject_id, text, ordered by hadm_id.
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
    summaries = _discharge_summaries(mimic_iii, attrition, conditions)
    reports = _join_by_admission(summaries, attrition, addenda_searched)
    cut = unanchored_sections if sections_unanchored else anchored_sections
    sections = [cut(text.strip()) for text in reports["text"]]
    has_main = [any(found[title] for title in MAIN_SECTIONS) for found in sections]
    if not marks_kept:
        sections = [{title: normalise_marks(body) for title, body in found.items()} for found in sections]
    notes = reports.assign(text=[admission_note(found) for found in sections])[pd.Series(has_main, index=reports.index)]
    attrition.record("with a chief complaint, present illness or medical history", notes)
    with parquet_writer(output, ADMISSION_SCHEMA, attrition.metadata()) as writer:
        writer.write_table(pa.Table.from_pandas(notes[ADMISSION_SCHEMA.names], schema=writer.schema))
    return attrition.steps


def _discharge_summaries(mimic_iii: Path, attrition: Attrition, conditions: Mapping[str, Condition]) -> pd.DataFrame:
    """Notes that meet the conditions, ordered, one row per text."""
    tallies = {step: Tally() for step in ("rows of NOTEEVENTS", *conditions)}
    kept = []
    for batch in stream_table(find_table(mimic_iii, "NOTEEVENTS"), _NOTE_COLUMNS):
        tallies["rows of NOTEEVENTS"].add(batch["SUBJECT_ID"])
        for step, holds in conditions.items():
            batch = batch.filter(holds(batch))
            tallies[step].add(batch["SUBJECT_ID"])
        kept.append(batch)
    for step, tally in tallies.items():
        attrition.add(step, rows=tally.rows, patients=tally.patients, unit=NOTES)
    table = pa.Table.from_batches(kept, schema=pa.schema(list(_NOTE_COLUMNS.items())))
    notes = table.rename_columns([name.lower() for name in table.column_names]).to_pandas(
        types_mapper={INTEGER: pd.Int64Dtype()}.get
    )
    # The original's sort is unstable; ROW_ID orders the notes of one day.
    notes = notes.sort_values(["chartdate", "row_id"], kind="stable", na_position="last")
    return attrition.record("last of each set of equal texts", notes.drop_duplicates("text", keep="last"), unit=NOTES)


def _conditions(mimic_iii: Path, sections_unanchored: bool, error_notes_kept: bool) -> dict[str, Condition]:
    """What a row of NOTEEVENTS has to meet, in order, by the name of the step."""
    path = find_table(mimic_iii, "ADMISSIONS")
    admissions = check_key(read_table(path, {"HADM_ID": INTEGER, "ADMISSION_TYPE": TEXT}), "HADM_ID", path)
    admissions = admissions.dropna(subset=["HADM_ID"])
    listed = pa.array(admissions["HADM_ID"].astype("int64"))
    newborns = pa.array(admissions["HADM_ID"][admissions["ADMISSION_TYPE"] == "NEWBORN"].astype("int64"))

    def has_text(batch: pa.RecordBatch) -> pa.Array:
        present = pc.is_valid(batch["TEXT"])
        if not sections_unanchored:
            return present
        return pc.and_(present, pc.invert(pc.is_in(batch["TEXT"], value_set=_READ_AS_MISSING)))

    right: dict[str, Condition] = {"not marked as an error": lambda batch: pc.invert(marked_as_error(batch["ISERROR"]))}
    return {
        "discharge summaries": lambda batch: pc.equal(batch["CATEGORY"], "Discharge summary"),
        **({} if error_notes_kept else right),
        "with text": has_text,
        "with an admission": lambda batch: pc.is_valid(batch["HADM_ID"]),
        "of an admission in ADMISSIONS": lambda batch: pc.is_in(batch["HADM_ID"], value_set=listed),
        "not of a newborn": lambda batch: pc.invert(pc.is_in(batch["HADM_ID"], value_set=newborns)),
    }


def _join_by_admission(summaries: pd.DataFrame, attrition: Attrition, addenda_searched: bool) -> pd.DataFrame:
    """One row per admission with a report: hadm_id, the last report's subject_id, the texts joined."""
    reports = summaries[summaries["description"] == "Report"]
    last = reports.drop_duplicates("hadm_id", keep="last").dropna(subset=["subject_id"])
    joined_notes = summaries[summaries["hadm_id"].isin(last["hadm_id"])]
    attrition.record("of an admission with a report", joined_notes, unit=NOTES)
    if not addenda_searched:
        joined_notes = reports[reports["hadm_id"].isin(last["hadm_id"])]
        attrition.record("reports, not addenda", joined_notes, unit=NOTES)
    texts = joined_notes.groupby("hadm_id", sort=True)["text"].agg("\n\n".join)
    joined = last[["hadm_id", "subject_id"]].astype("int64").sort_values("hadm_id").reset_index(drop=True)
    joined["text"] = texts.loc[joined["hadm_id"]].to_numpy()
    return attrition.record("joined by admission", joined)

"""Admission notes: what a discharge summary says that was known at admission, one per hospital admission.

Follows the task code of van Aken et al., "Clinical Outcome Prediction from Admission Notes using Self-Supervised
Knowledge Integration" (EACL 2021).
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.sections import MAIN_SECTIONS, admission_note, anchored_sections, unanchored_sections
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, read_table, stream_table

ADMISSION_SCHEMA = pa.schema([("hadm_id", pa.int64()), ("subject_id", pa.int64()), ("text", pa.string())])
_NOTE_COLUMNS = {
    "ROW_ID": INTEGER,
    "SUBJECT_ID": INTEGER,
    "HADM_ID": INTEGER,
    "CHARTDATE": TEXT,
    "CATEGORY": TEXT,
    "DESCRIPTION": TEXT,
    "TEXT": TEXT,
}
# Texts that the original's reader (pandas 1.5) takes for missing ones.
_READ_AS_MISSING = pa.array(
    [
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
    ]
)


def build_admission_notes(mimic_iii: Path, output: Path, *, sections_unanchored: bool) -> list[dict[str, object]]:
    """Write the admission note of every adult admission that has one.

    Discharge summaries of admissions that are not of a newborn are ordered by (CHARTDATE, ROW_ID), a text that
    occurs twice anywhere keeps its last row, the texts of an admission are joined (reports and addenda), an
    admission without a report is dropped, and the eight sections known at admission are cut out.

    Args:
        mimic_iii: Folder with NOTEEVENTS and ADMISSIONS.
        output: Parquet file to write: hadm_id, subject_id, text, ordered by hadm_id.
        sections_unanchored: Cut sections as the original does; otherwise at headers that start a line.

    Returns:
        Ordered steps, each with ``step``, ``rows`` and ``patients`` left; also kept in the file's metadata.

    Raises:
        DataError: A table is missing or malformed, or a step leaves nothing.
    """
    attrition = Attrition()
    summaries = _discharge_summaries(mimic_iii, attrition, sections_unanchored)
    reports = _join_by_admission(summaries, attrition)
    cut = unanchored_sections if sections_unanchored else anchored_sections
    sections = [cut(text.strip()) for text in reports["text"]]
    has_main = [any(found[title] for title in MAIN_SECTIONS) for found in sections]
    notes = reports.assign(text=[admission_note(found) for found in sections])[pd.Series(has_main, index=reports.index)]
    attrition.record("with a chief complaint, present illness or medical history", notes)
    with parquet_writer(output, ADMISSION_SCHEMA, attrition.metadata()) as writer:
        writer.write_table(pa.Table.from_pandas(notes[ADMISSION_SCHEMA.names], schema=writer.schema))
    return attrition.steps


def _discharge_summaries(mimic_iii: Path, attrition: Attrition, sections_unanchored: bool) -> pd.DataFrame:
    """Discharge summaries with text of adult admissions, ordered, one row per text."""
    admissions = read_table(find_table(mimic_iii, "ADMISSIONS"), {"HADM_ID": INTEGER, "ADMISSION_TYPE": TEXT})
    adults = pa.array(admissions["HADM_ID"][admissions["ADMISSION_TYPE"] != "NEWBORN"].dropna().astype("int64"))
    kept = []
    for batch in stream_table(find_table(mimic_iii, "NOTEEVENTS"), _NOTE_COLUMNS):
        wanted = pc.and_(pc.equal(batch["CATEGORY"], "Discharge summary"), pc.is_valid(batch["TEXT"]))
        if sections_unanchored:
            wanted = pc.and_(wanted, pc.invert(pc.is_in(batch["TEXT"], value_set=_READ_AS_MISSING)))
        wanted = pc.and_(wanted, pc.is_in(batch["HADM_ID"], value_set=adults))
        kept.append(batch.filter(wanted))
    table = pa.Table.from_batches(kept, schema=pa.schema(list(_NOTE_COLUMNS.items())))
    notes = table.rename_columns([name.lower() for name in table.column_names]).to_pandas()
    notes = notes.astype({"hadm_id": "int64", "subject_id": "int64"})
    attrition.record("discharge summaries of admissions that are not of a newborn", notes)
    # The original's sort is unstable; ROW_ID orders the notes of one day.
    notes = notes.sort_values(["chartdate", "row_id"], kind="stable", na_position="last")
    return attrition.record("last of each set of equal texts", notes.drop_duplicates("text", keep="last"))


def _join_by_admission(summaries: pd.DataFrame, attrition: Attrition) -> pd.DataFrame:
    """One row per admission with a report: hadm_id, the last report's subject_id, all texts joined."""
    texts = summaries.groupby("hadm_id", sort=True)["text"].agg("\n\n".join)
    reports = summaries[summaries["description"] == "Report"].drop_duplicates("hadm_id", keep="last")
    joined = reports[["hadm_id", "subject_id"]].sort_values("hadm_id").reset_index(drop=True)
    joined["text"] = texts.loc[joined["hadm_id"]].to_numpy()
    return attrition.record("admissions with a report", joined)

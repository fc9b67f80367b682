"""Admission notes from the discharge summaries of MIMIC-IV-Note, at constant memory."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from clinical_peft.data.attrition import NOTES, Attrition, Tally
from clinical_peft.data.joined_notes import ADMISSION_SCHEMA, joined_notes, place_notes
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.sections import MAIN_SECTIONS, SECTION_HEADERS, admission_note
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, stream_table, stripped
from clinical_peft.files import private_directory
from clinical_peft.sources.mimic_iv.patients import adult_admissions
from clinical_peft.sources.mimic_iv.sections import known_at_admission, merged_sections

ADDENDUM = "AD"
_NOTE_COLUMNS = {
    "subject_id": INTEGER,
    "hadm_id": INTEGER,
    "note_type": TEXT,
    "note_seq": INTEGER,
    "charttime": TEXT,
    "text": TEXT,
}
_IS_ADDENDUM = "is_addendum"
_CUT_SCHEMA = pa.schema([(_IS_ADDENDUM, pa.bool_()), *((title, pa.string()) for title in SECTION_HEADERS)])


def build_admission_notes(
    mimic_iv: Path, mimic_iv_note: Path, output: Path, *, addenda_searched: bool
) -> list[dict[str, object]]:
    """Write the admission note of every admission of an adult that has a discharge summary.

    A text that occurs twice anywhere keeps its last row, by charttime and note_seq. The notes of an admission are
    joined section by section (`merged_sections`); an admission with an addendum alone is dropped.

    Args:
        mimic_iv: Folder with hosp/admissions and hosp/patients.
        mimic_iv_note: Folder with discharge.
        output: Parquet file to write: hadm_id, subject_id, text, in the order of the discharge table.
        addenda_searched: Let an addendum fill in the sections that its summary lacks, except the exam.

    Returns:
        Ordered steps, each with ``step``, ``unit``, ``rows`` and ``patients`` left; also kept in the file's metadata.

    Raises:
        DataError: A table is missing or malformed, or a step leaves nothing.
    """
    adults = pa.array(adult_admissions(mimic_iv)["hadm_id"])
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=private_directory(Path(output).parent)) as folder:
        cut = Path(folder) / "cut.parquet"
        attrition = Attrition()
        notes = _cut_notes(find_table(mimic_iv_note, "discharge"), adults, cut, attrition)
        kept = _choose(notes, attrition, addenda_searched)
        with parquet_writer(output, ADMISSION_SCHEMA, attrition.metadata()) as writer:
            for admissions in joined_notes(cut, kept):
                rows = [{"hadm_id": a.hadm_id, "subject_id": a.subject_id, "text": _joined(a.rows)} for a in admissions]
                writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))
    return attrition.steps


def _cut_notes(discharge: Path, adults: pa.Array, cut: Path, attrition: Attrition) -> pd.DataFrame:
    """Write the sections of every note, and return what decides which of them are kept, one row per note."""
    conditions: dict[str, Callable[[pa.RecordBatch], pa.Array]] = {
        "with text": lambda batch: pc.is_valid(batch["text"]),
        "with a patient": lambda batch: pc.is_valid(batch["subject_id"]),
        "of an admission of an adult": lambda batch: pc.is_in(batch["hadm_id"], value_set=adults),
    }
    tallies = {step: Tally() for step in ("rows of discharge", *conditions)}
    parts: list[pd.DataFrame] = []
    with pq.ParquetWriter(cut, _CUT_SCHEMA, compression="zstd") as writer:
        for batch in stream_table(discharge, _NOTE_COLUMNS, times=("charttime",)):
            tallies["rows of discharge"].add(batch["subject_id"])
            for step, holds in conditions.items():
                batch = batch.filter(holds(batch))
                tallies[step].add(batch["subject_id"])
            texts = batch["text"].to_pylist()
            sections = [known_at_admission(text) for text in texts]
            notes = batch.drop_columns(["text", "note_type"]).to_pandas()
            notes[_IS_ADDENDUM] = [kind == ADDENDUM for kind in stripped(batch["note_type"]).to_pylist()]
            rows = [
                {_IS_ADDENDUM: is_addendum} | found
                for is_addendum, found in zip(notes[_IS_ADDENDUM], sections, strict=True)
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=_CUT_SCHEMA))
            notes["hash"] = np.fromiter(
                (xxhash.xxh3_64_intdigest(text.encode()) for text in texts), np.uint64, len(texts)
            )
            notes["has_main"] = [any(found[title] for title in MAIN_SECTIONS) for found in sections]
            parts.append(notes)
    for step, tally in tallies.items():
        attrition.add(step, rows=tally.rows, patients=tally.patients, unit=NOTES)
    return pd.concat(parts, ignore_index=True)


def _choose(notes: pd.DataFrame, attrition: Attrition, addenda_searched: bool) -> pd.DataFrame:
    """Notes that count, in the order in which they are joined, indexed by their row in the file of sections."""
    notes = notes.sort_values(["charttime", "note_seq"], kind="stable", na_position="last")
    notes = attrition.record("last of each set of equal texts", notes.drop_duplicates("hash", keep="last"), unit=NOTES)
    summaries = notes[~notes[_IS_ADDENDUM]]
    notes = notes[notes["hadm_id"].isin(summaries["hadm_id"])]
    attrition.record("of an admission with a summary", notes, unit=NOTES)
    if not addenda_searched:
        notes = attrition.record("summaries, not addenda", summaries, unit=NOTES)
    admissions = summaries.drop_duplicates("hadm_id", keep="last")
    attrition.record("joined by admission", admissions)
    with_main = notes["hadm_id"][notes["has_main"]]
    admissions = admissions[admissions["hadm_id"].isin(with_main)]
    attrition.record("with a chief complaint, present illness or medical history", admissions)
    return place_notes(notes, admissions)


def _joined(rows: list[dict[str, Any]]) -> str:
    summaries = [row for row in rows if not row[_IS_ADDENDUM]]
    addenda = [row for row in rows if row[_IS_ADDENDUM]]
    return admission_note(merged_sections(summaries, addenda))

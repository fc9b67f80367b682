"""Corpora: from the note tables, from a user's file, and from the standard library."""

import csv
import gzip
import json
import os
import stat
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from peak_memory import needs_proc, peak_bytes

from clinical_peft.data.general_text import collect_general_text
from clinical_peft.data.note_cleaning import clean_flattened, clean_structured
from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.note_files import import_notes
from clinical_peft.data.note_table import NOTE_SCHEMA
from clinical_peft.data.table_source import TableSource
from clinical_peft.data.tables import stream_table
from clinical_peft.errors import ConfigError, DataError, StorageError

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")
NOTEEVENTS = (
    "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
    '1,7,70,2150-01-01,,Discharge summary,,"Name: [**Known\nname**]\r\nwell,  ""ok"""\n'
    '2,7,,2150-01-02,2150-01-02 03:00:00,Nursing/other,,"sleeps\u2028well"\n'
    "3,8,80,2150-01-02,,Physician ,1,wrong patient\n"
    "4,8,80,2150-01-02,,Radiology,,\n"
    "5,8,80,2150-01-02,,Radiology,,No change.\n"
)
DISCHARGE = (
    "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
    '10-DS-1,10,100,DS,1,2180-01-01 00:00:00,,"Name: ___\n\nNo change."\n'
)
RADIOLOGY = (
    "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
    "10-RR-1,10,100.0,RR,1,2180-01-01 00:00:00,,No change. \n"
    "11-RR-1,11,,RR,1,2180-01-02 00:00:00,, \n"
)


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "iii").mkdir()
    (tmp_path / "iv" / "note").mkdir(parents=True)
    (tmp_path / "iii" / "NOTEEVENTS.csv").write_text(NOTEEVENTS, newline="")
    for name, text in {"discharge": DISCHARGE, "radiology": RADIOLOGY}.items():
        (tmp_path / "iv" / "note" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return {"mimic_iii": tmp_path / "iii", "mimic_iv_note": tmp_path / "iv"}


def test_structured_extraction_keeps_lines_and_counts_drops(folders, tmp_path):
    output = tmp_path / "notes" / "combined.parquet"
    counts = extract_notes("combined", output, **folders, flattened=False)
    assert counts == {
        "rows_read": 8,
        "ids_repeated": 0,
        "empty_dropped": 2,
        "marked_as_error_dropped": 1,
        "duplicates_dropped": 1,
        "written": 4,
        "noteevents_rows": 5,
        "noteevents_rows_expected": 2_083_180,
        "discharge_rows": 1,
        "discharge_rows_expected": 331_793,
        "radiology_rows": 2,
        "radiology_rows_expected": 2_321_355,
    }
    table = pq.read_table(output)
    assert table.schema.equals(NOTE_SCHEMA)
    assert table.to_pylist()[0] == {
        "note_id": "mimic-iii-1",
        "subject_id": 7,
        "hadm_id": 70,
        "kind": "discharge",
        "charttime": "2150-01-01",
        "text": 'Name: ___\nwell,  "ok"',
    }
    assert table["text"].to_pylist()[1:] == ["sleeps\nwell", "No change.", "Name: ___\n\nNo change."]
    assert table["kind"].to_pylist() == ["discharge", "nursing/other", "radiology", "discharge"]
    assert table["charttime"].to_pylist()[1] == "2150-01-02 03:00:00"
    assert stat.S_IMODE(output.parent.stat().st_mode) == 0o700


def test_flattened_extraction_drops_empty_rows_alone(folders, tmp_path):
    counts = extract_notes("combined", tmp_path / "flat.parquet", **folders, flattened=True)
    assert counts["written"] == 7
    texts = pq.read_table(tmp_path / "flat.parquet")["text"].to_pylist()
    assert texts[0] == 'Name: Known name \r well, "ok"'
    assert texts.count("No change.") == 1
    assert texts[-2:] == ["No change. ", " "]


def test_mimic_iv_notes_are_discharge_then_radiology(folders, tmp_path):
    extract_notes("mimic-iv", tmp_path / "iv.parquet", **folders, flattened=True)
    rows = pq.read_table(tmp_path / "iv.parquet").to_pylist()
    assert [(row["note_id"], row["hadm_id"]) for row in rows] == [
        ("10-DS-1", 100),
        ("10-RR-1", 100),
        ("11-RR-1", None),
    ]


def test_extraction_writes_the_same_bytes_twice(folders, tmp_path):
    for name in ("one", "two"):
        extract_notes("combined", tmp_path / f"{name}.parquet", **folders, flattened=False)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_broken_table_leaves_no_corpus(folders, tmp_path):
    path = folders["mimic_iv_note"] / "note" / "radiology.csv.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"radiology.csv.gz"):
        extract_notes("mimic-iv", tmp_path / "out" / "iv.parquet", **folders, flattened=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_folder_and_unknown_corpus(folders, tmp_path):
    with pytest.raises(ConfigError, match="mimic_iv_note"):
        extract_notes("mimic-iv", tmp_path / "x.parquet", mimic_iv_note=None, mimic_iii=None, flattened=True)
    with pytest.raises(ConfigError, match="mimic-v"):
        extract_notes("mimic-v", tmp_path / "x.parquet", **folders, flattened=True)


def rows_like_a_note_table(count: int) -> str:
    """Notes of many lengths, every seventh a repetition, every eleventh empty, every thirteenth marked as an error."""
    lines = ["ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT"]
    for number in range(count):
        text = (
            "" if number % 11 == 5 else f"Note {number - number % 7 // 6}. \r\n" + "line, [**Name**] \n" * (number % 50)
        )
        lines.append(f'{number},{number // 3},,2150-01-01,,Nursing,{"1" if number % 13 == 4 else ""},"{text}"')
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("flattened", [True, False])
def test_a_corpus_is_what_a_plain_loop_over_the_rows_makes(tmp_path, monkeypatch, flattened):
    monkeypatch.setattr(stream_table, "__kwdefaults__", {"block_size": 16_384})
    (tmp_path / "NOTEEVENTS.csv").write_text(rows_like_a_note_table(1_500), newline="")
    counts = extract_notes(
        "mimic-iii", tmp_path / "n.parquet", mimic_iv_note=None, mimic_iii=tmp_path, flattened=flattened
    )
    dropped: Counter[str] = Counter()
    expected: list[tuple[str, str]] = []
    seen: set[str] = set()
    with (tmp_path / "NOTEEVENTS.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            text = clean_flattened(row["TEXT"]) if flattened else clean_structured(row["TEXT"])
            if row["ISERROR"] == "1" and row["TEXT"] and not flattened:
                dropped["marked_as_error_dropped"] += 1
            elif not text:
                dropped["empty_dropped"] += 1
            elif text in seen and not flattened:
                dropped["duplicates_dropped"] += 1
            else:
                seen.add(text)
                expected.append((f"mimic-iii-{row['ROW_ID']}", text))
    file = pq.ParquetFile(tmp_path / "n.parquet")
    assert list(zip(*file.read(["note_id", "text"]).to_pydict().values(), strict=True)) == expected
    assert {key: counts[key] for key in dropped} == dropped
    assert counts["written"] == len(expected)
    assert file.num_row_groups > 10


def test_compressed_and_plain_tables_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_table, "__kwdefaults__", {"block_size": 16_384})
    text = rows_like_a_note_table(1_000).encode()
    for name, data in {"NOTEEVENTS.csv": text, "NOTEEVENTS.csv.gz": gzip.compress(text)}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(data)
        extract_notes("mimic-iii", folder / "n.parquet", mimic_iv_note=None, mimic_iii=folder, flattened=False)
    plain, zipped = (tmp_path / name / "n.parquet" for name in ("NOTEEVENTS.csv", "NOTEEVENTS.csv.gz"))
    assert plain.read_bytes() == zipped.read_bytes()


def test_the_bytes_do_not_depend_on_which_thread_is_slower(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_table, "__kwdefaults__", {"block_size": 16_384})
    (tmp_path / "NOTEEVENTS.csv").write_text(rows_like_a_note_table(300), newline="")
    write, read = pq.ParquetWriter.write_table, TableSource.read

    def slow_write(*arguments):
        time.sleep(0.01)
        return write(*arguments)

    def slow_read(*arguments):
        time.sleep(0.01)
        return read(*arguments)

    for name, slowed in {"neither": {}, "writer": {"w": slow_write}, "reader": {"r": slow_read}}.items():
        monkeypatch.setattr(pq.ParquetWriter, "write_table", slowed.get("w", write))
        monkeypatch.setattr(TableSource, "read", slowed.get("r", read))
        output = tmp_path / f"{name}.parquet"
        extract_notes("mimic-iii", output, mimic_iv_note=None, mimic_iii=tmp_path, flattened=False)
    written = {(tmp_path / f"{name}.parquet").read_bytes() for name in ("neither", "writer", "reader")}
    assert len(written) == 1


EXTRACT = """
import sys
from pathlib import Path
from clinical_peft.data.note_extraction import extract_notes
folder = Path(sys.argv[1])
extract_notes("mimic-iii", folder / "n.parquet", mimic_iv_note=None, mimic_iii=folder, flattened=False)
"""


@pytest.mark.slow
@needs_proc
def test_memory_does_not_grow_with_the_table(tmp_path):
    peaks = []
    for count in (150_000, 450_000):  # 0.2 and 0.6 GB: more than what pyarrow decompresses ahead
        with gzip.open(tmp_path / "NOTEEVENTS.csv.gz", "wt", compresslevel=1, newline="") as handle:
            handle.write("ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n")
            lines = "heart sounds regular, lungs clear \n" * 38
            handle.writelines(f'{number},7,,2150-01-01,,Nursing,,"Note {number}\n{lines}"\n' for number in range(count))
        peaks.append(peak_bytes(EXTRACT, tmp_path))
    assert peaks[1] < 500e6
    assert peaks[1] < 1.15 * peaks[0]


def test_a_full_disk_leaves_no_corpus(folders, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(StorageError, match=r"n\.parquet: no space left on device; free space"):
        extract_notes("mimic-iv", tmp_path / "out" / "n.parquet", **folders, flattened=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_import_groups_overlapping_notes_alone(tmp_path):
    words = [f"word{number}" for number in range(60)]
    notes = [" ".join(words[:40]), "Entirely different text about a knee.", " ".join(words[4:44]), "short"]
    source = tmp_path / "notes.jsonl"
    source.write_text(
        "".join(json.dumps({"id": i, "body": text}) + "\n" for i, text in enumerate([*notes, "short", " "]))
    )
    counts = import_notes(source, tmp_path / "n.parquet", id_column="id", text_column="body")
    assert counts == {"rows_read": 6, "empty_dropped": 1, "duplicates_dropped": 1, "written": 4, "subjects": 3}
    rows = pq.read_table(tmp_path / "n.parquet").to_pylist()
    assert [(row["note_id"], row["subject_id"], row["kind"]) for row in rows] == [
        ("0", 0, "imported"),
        ("1", 1, "imported"),
        ("2", 0, "imported"),
        ("3", 3, "imported"),
    ]


def test_import_reads_csv_with_patient_ids(tmp_path):
    source = tmp_path / "notes.csv.gz"
    source.write_bytes(gzip.compress(b'Id,Patient,Note\nx,5,"a\nb"\ny,5,c\n'))
    counts = import_notes(source, tmp_path / "n.parquet", id_column="id", text_column="note", subject_column="patient")
    assert (counts["written"], counts["subjects"]) == (2, 1)
    assert pq.read_table(tmp_path / "n.parquet")["text"].to_pylist() == ["a\nb", "c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": 2, "text"', "line 2: expected a JSON object"),
        ('{"id": 2, "txt": "Mrs Smith"}', "line 2: expected key text; found id, txt"),
        (
            '{"10000032-DS-21": "Mrs Smith", "Mrs Smith": 1}',
            "line 2: expected key id, text; found 2 keys of other names",
        ),
        ('["Mrs Smith"]', "line 2: expected a JSON object, found list"),
        ('{"id": 1, "text": "Mrs Smith"}', "line 2: expected a note id of its own"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line, message):
    source = tmp_path / "notes.jsonl"
    source.write_text('{"id": 1, "text": "fine"}\n' + line + "\n")
    with pytest.raises(DataError, match=message) as caught:
        import_notes(source, tmp_path / "n.parquet", id_column="id", text_column="text")
    assert "Smith" not in str(caught.value)


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
def test_mtsamples_has_overlapping_reports(tmp_path):
    source = Path(REAL_DATA) / "mtsamples" / "notes.jsonl"
    counts = import_notes(source, tmp_path / "n.parquet", id_column="note_id", text_column="text")
    assert (counts["rows_read"], counts["duplicates_dropped"]) == (279, 0)
    # Eight pairs share half or more of the shorter report's shingles; they form five groups of 12 reports.
    groups = Counter(pq.read_table(tmp_path / "n.parquet")["subject_id"].to_pylist())
    assert counts["subjects"] == len(groups) == 272
    assert sorted(size for size in groups.values() if size > 1) == [2, 2, 2, 3, 3]


def test_general_text_is_prose_within_its_budget(tmp_path):
    counts = collect_general_text(tmp_path / "g.parquet", max_characters=300_000)
    table = pq.read_table(tmp_path / "g.parquet")
    texts = table["text"].to_pylist()
    assert counts["documents"] == len(texts) > 50
    assert 250_000 < counts["characters"] == sum(map(len, texts)) <= 300_000
    assert table["note_id"][0].as_py().startswith("pydoc_data.topics/")
    assert set(table["kind"].to_pylist()) == {"general"}
    assert len(set(texts)) == len(texts)
    assert not any(">>>" in line[:6] for text in texts for line in text.splitlines())
    assert table.schema.metadata[b"python_version"].decode() == counts["python_version"]
    collect_general_text(tmp_path / "again.parquet", max_characters=300_000)
    assert (tmp_path / "g.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_general_text_needs_room_for_one_document(tmp_path):
    with pytest.raises(DataError, match="10 characters"):
        collect_general_text(tmp_path / "g.parquet", max_characters=10)

"""Note text and patient ids stay in the data folders, and nothing leaves the machine.

One run of the tiny study without its encoder, on a hospital in whose notes unmistakable strings are planted, watched
for any attempt to reach the network, and followed by a job that fails on purpose while it holds a note.
"""

import csv
import gzip
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from workflow_run import REPOSITORY, Run, snakemake

from clinical_peft.synthetic.hospital import generate_hospital

pytestmark = pytest.mark.workflow

SENTINEL = "Quxvortle"
MODELS = ["tfidf", "llama", "llama+clinical-trainable+downstream"]
DATA_FOLDERS = {"notes", "cohorts", "tokens", "predictions"}
NOBODY = 2**32 - 1
WATCH = Path(__file__).parent / "no_network"


def plant(table: Path, column: str) -> None:
    """Put the sentinel at the start, in the middle and at the end of every note of a table."""
    with gzip.open(table, "rt", encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    with gzip.open(table, "wt", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, rows[0].keys(), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for row in rows:
            text = row[column]
            if text:
                text = re.sub("(?i)(chief complaint:)", rf"\1\n{SENTINEL}", text, count=1)
                row[column] = f"{SENTINEL} {text} {SENTINEL}"
            writer.writerow(row)


def isolation() -> list[str]:
    """A command that takes the network away, where this user may do that."""
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if not all(shutil.which(name) for name in ("unshare", "ip")):
        return []
    works = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if works else []


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    generate_hospital(folder, size="tiny", seed=4)
    plant(folder / "mimic-iii" / "NOTEEVENTS.csv.gz", "TEXT")
    plant(folder / "mimic-iv-note" / "discharge.csv.gz", "text")
    plant(folder / "mimic-iv-note" / "radiology.csv.gz", "text")
    return folder


@pytest.fixture(scope="module")
def patient_ids(hospital) -> set[str]:
    with gzip.open(hospital / "mimic-iii" / "ADMISSIONS.csv.gz", "rt", encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    return {row["SUBJECT_ID"] for row in rows} | {row["HADM_ID"] for row in rows}


@pytest.fixture(scope="module")
def network_record(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("network") / "attempts.txt"


@pytest.fixture(scope="module")
def watched_run(hospital, network_record, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("watched")
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content["data"] = {
        "mimic_iii": str(hospital / "mimic-iii"),
        "mimic_iv_note": str(hospital / "mimic-iv-note"),
    }
    content["matrix"] |= {"adapters": ["tiny-llama-lora"], "models": MODELS}
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(content))
    run = snakemake(
        folder,
        config=config,
        environment={"PYTHONPATH": str(WATCH), "CLINICAL_PEFT_NETWORK_LOG": str(network_record)},
        before=isolation(),
    )
    assert run.returncode == 0, "the watched run failed"
    return run


@pytest.fixture(scope="module")
def failed_run(watched_run) -> Run:
    """Every label is a note, so that the libraries fail on it and quote it."""
    cohort = watched_run.results / "tiny" / "cohorts" / "mortality.parquet"
    table = pq.read_table(cohort)
    broken = table.set_column(table.column_names.index("label"), "label", table["text"])
    pq.write_table(broken, cohort)
    run = snakemake(
        watched_run.folder,
        "results/tiny/predictions/tfidf/mortality/seed0.parquet",
        "results/tiny/predictions/llama/mortality/seed0.parquet",
        "--forcerun",
        "finetune_model",
        "--keep-going",
        config=watched_run.folder / "study.yaml",
    )
    assert run.returncode == 1
    return run


def text_of(path: Path) -> str:
    """Everything readable in a file; columns of Parquet and Arrow files are decoded."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pandas().to_csv()
    if path.suffix == ".arrow":
        with pa.OSFile(str(path)) as source:
            return pa.ipc.open_stream(source).read_all().to_pandas().to_csv()
    return path.read_bytes().decode("utf-8", errors="ignore")


def files_outside_the_data_folders(folder: Path) -> list[Path]:
    study = folder / "results" / "tiny"
    inside = {study / name for name in DATA_FOLDERS}
    inside |= set((study / "work").rglob("finished"))  # predictions of finished seeds
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not inside & set(path.parents) and path.name != "study.yaml"
    ]


def test_the_sentinel_reached_the_data(watched_run):
    assert SENTINEL in text_of(watched_run.results / "tiny" / "notes" / "mimic-iv.parquet")
    # In every admission note, since a message quotes a single one.
    texts = pq.read_table(watched_run.results / "tiny" / "cohorts" / "diagnoses.parquet")["text"].to_pylist()
    assert [text for text in texts if SENTINEL.lower() not in text.lower()] == []


def test_no_note_text_outside_the_data_folders(watched_run, failed_run):
    files = files_outside_the_data_folders(watched_run.folder)
    assert len(files) > 100
    assert [path for path in files if SENTINEL.lower() in text_of(path).lower()] == []


def test_no_patient_or_admission_id_outside_the_data_folders(watched_run, failed_run, patient_ids):
    found = {}
    for path in files_outside_the_data_folders(watched_run.folder):
        hits = set(re.findall(r"(?<!\d)9\d{8}(?!\d)", text_of(path))) & patient_ids
        if hits and path.suffix not in {".safetensors"}:
            found[str(path)] = sorted(hits)[:3]
    assert found == {}


def test_no_note_text_or_id_on_the_terminal(watched_run, failed_run, patient_ids):
    for output in (watched_run.output, failed_run.output):
        assert SENTINEL.lower() not in output.lower()
        assert not set(re.findall(r"\d{9}", output)) & patient_ids
    assert "error: " in failed_run.output
    assert "Traceback" not in failed_run.output


def test_no_attempt_to_reach_the_network(watched_run, network_record):
    assert not network_record.exists() or network_record.read_text() == ""


def test_a_default_acl_does_not_open_the_study_to_a_group(tmp_path):
    # For all kinds of entry rwx, as on a disk that a group shares: the system then heeds no umask.
    entries = ((1, 7, NOBODY), (4, 7, NOBODY), (8, 7, 12345), (16, 7, NOBODY), (32, 7, NOBODY))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except (AttributeError, OSError):
        pytest.skip("no default ACLs here")
    run = snakemake(tmp_path, "results/tiny/notes/general.parquet")
    assert run.returncode == 0, run.output
    assert (run.results / "tiny").stat().st_mode & 0o077 == 0


def test_private_folders(watched_run):
    for path in (watched_run.results / "tiny").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert os.access(watched_run.results, os.R_OK)

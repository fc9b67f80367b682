"""What a user sees while a study runs: in a file or pipe, and on a terminal."""

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from workflow_run import REPOSITORY, SNAKEMAKE

pytestmark = pytest.mark.workflow

TIME = re.compile(r"^\d\d:\d\d:\d\d ", re.MULTILINE)
TFIDF = "finetune model: tfidf, mortality, seed 0"


def test_a_study_in_a_file_is_a_line_for_each_start_and_end(tiny_run):
    output = TIME.sub("", tiny_run.output)
    started = re.findall(r"^start   (.*)$", output, re.MULTILINE)
    done = re.findall(r"^done    (.*), (?:\d+ min )?\d+ s \(\d+ of \d+", output, re.MULTILINE)
    assert sorted(started) == sorted(done)
    assert len(set(started)) == len(started) > 30
    assert {TFIDF, "train adapter: tiny-llama-lora", "track model: tfidf"} <= set(started)
    assert re.search(r"^All \d+ jobs done in ", output, re.MULTILINE)
    for noise in ("\r", "\x1b", "Select jobs", "Execute ", "jobid", " | step ", "Elapsed time", "Complete log"):
        assert noise not in output


def test_the_runs_of_the_first_model_do_not_wait_for_the_last(tiny_run):
    lines = TIME.sub("", tiny_run.output).splitlines()
    first = min(number for number, line in enumerate(lines) if line.startswith("done    track model: "))
    assert any(line.startswith(("start   finetune model: ", "start   evaluate model: ")) for line in lines[first:])


def test_a_failed_job_on_a_terminal_is_the_last_thing_seen(tiny_run, tmp_path: Path):
    shutil.copytree(tiny_run.results / "tiny", tmp_path / "results" / "tiny")
    (tmp_path / "results" / "tiny" / "cohorts" / "mortality.classes.json").write_text("not JSON")
    target = "results/tiny/predictions/tfidf/mortality/seed0.parquet"
    config = ["--configfile", str(REPOSITORY / "config" / "tiny.yaml")]
    code, shown = on_a_terminal([*SNAKEMAKE, target, "--forcerun", "finetune_model", *config], tmp_path)
    assert code == 1
    assert re.search(rf"\r\x1b\[K0 of 1, about \d+ s left \| {TFIDF} \d+ s", shown)
    lines = shown.splitlines()
    assert re.fullmatch(rf".*failed  {TFIDF} after \d+ s", lines[-3])
    assert lines[-2].startswith("\x1b[31merror: results/tiny/cohorts/mortality.classes.json: not valid JSON")
    assert lines[-1] == "log: results/tiny/logs/finetune/tfidf/mortality.log"
    assert shown.count("error: ") == 1


def on_a_terminal(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and what it showed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=folder, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # the terminal's other end is closed
                break
    os.close(ours)
    return process.returncode, shown.decode().replace("\r\n", "\n")

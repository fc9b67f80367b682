"""What runs again after an edit of a finished study's file: the jobs whose results depend on what was edited."""

import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from workflow_run import REPOSITORY, SNAKEMAKE, dry_runs, snakemake

from clinical_peft.config.layers import deep_merge

pytestmark = pytest.mark.workflow

TINY = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
TFIDF, HEAD, TWO, BERT = "tfidf", "llama", "llama+clinical-trainable+downstream", "bert+lora"
MODELS = [TFIDF, HEAD, TWO, BERT]
LORA, PROMPT, FEATURES = "tiny-llama-lora", "tiny-llama-prompt-tuning", "tiny-llama-64-fp32"
# Rules that describe, score and tabulate: seconds each. The others are listed by job.
CHEAP = {
    *("all", "evaluate_model", "describe_cohorts", "compare_models", "calibrate_models", "compare_subgroups"),
    *("tabulate", "draw_figures", "write_cards", "write_report", "track_model", "track_runs", "track_study"),
    "check_leakage",
}
REPORT = {"all", "write_report", "track_study"}
LABELS = {*REPORT, "tabulate", "draw_figures", "write_cards"}


def runs(models, tasks=("mortality", "diagnoses"), rule="finetune_model") -> set[str]:
    return {f"{rule} {model} {task}" for model in models for task in tasks}


def adapters(*names) -> set[str]:
    return {f"train_adapter {name}" for name in names}


TOKENS = {"tokenise_notes tiny-llama mimic-iv"}
POOL = {f"pool_notes {FEATURES}"}
OF_COHORTS = {*runs(MODELS), *POOL}

# Each edit, and the jobs that take more than seconds; for some, all cheap rules too.
EDITS: dict[str, tuple[dict, set[str], set[str] | None]] = {
    "nothing": ({}, set(), set()),
    "a label of a model": ({"models": {HEAD: {"label": "L"}}}, set(), LABELS),
    "a label of a base": ({"bases": {"tiny-llama": {"label": "L"}}}, set(), LABELS),
    "a label of a task": ({"tasks": {"mortality": {"label": "Death"}}}, set(), LABELS),
    "the tracking server": (
        {"tracking": {"uri": "sqlite:////tmp/x.db"}},
        set(),
        {*REPORT, "track_model", "track_runs"},
    ),
    "speeds and the Hub": ({"budget": {"device": "x"}, "hub": {"repository": "a/b"}}, set(), REPORT),
    "resamples": ({"evaluation": {"resamples": 120}}, set(), None),
    "the order of tasks": ({"matrix": {"tasks": ["diagnoses", "mortality"]}}, set(), None),
    "the order of models": ({"matrix": {"models": MODELS[::-1]}}, set(), None),
    "a dropped model": ({"matrix": {"models": [TFIDF, HEAD]}}, set(), None),
    "an added model": ({"matrix": {"models": [*MODELS, "llama+lora"]}}, runs(["llama+lora"]), None),
    "an entry that nothing uses": (
        {
            "models": {"new": {"base": "tiny-llama", "label": "N"}},
            "adapters": {"a": {"base": "tiny-llama", "method": "dora"}},
        },
        set(),
        REPORT,
    ),
    "a space that nothing searches": ({"search": {"spaces": {"task-lora": {"trials": 3}}}}, set(), REPORT),
    "an added seed": ({"matrix": {"seeds": [0, 1]}}, runs(MODELS), None),
    "the fine-tuning rate": ({"finetuning": {"learning_rate": 1e-3}}, runs([TWO], ["mortality"]), None),
    "the rate of heads": ({"finetuning": {"head_learning_rate": 1e-3}}, runs([TWO, BERT], ["mortality"]), None),
    "epochs": ({"finetuning": {"epochs": 2}}, runs([TWO, BERT]), None),
    "class weights": ({"finetuning": {"class_weights": False}}, runs(MODELS, ["mortality"]), None),
    "a task's recipe": (
        {"tasks": {"mortality": {"recipe": {"weight_decay": 0.5}}}},
        runs([HEAD, TWO, BERT], ["mortality"]),
        None,
    ),
    "time between checkpoints": (
        {
            "finetuning": {"checkpoint_seconds": 9},
            "pretraining": {"checkpoint_seconds": 9},
            "bases": {"tiny-llama": {"source": {"recipe": {"checkpoint_seconds": 7}}}},
        },
        set(),
        REPORT,
    ),
    "an adapter's rate": ({"pretraining": {"learning_rate": 1e-3}}, {*adapters(LORA), *runs([TWO])}, None),
    "switch los_rounded": ({"switches": {"los_rounded": True}}, set(), None),
    "switch multilabel_softmax": ({"switches": {"multilabel_softmax": True}}, runs(MODELS, ["diagnoses"]), None),
    "switch task_adapter_inactive": ({"switches": {"task_adapter_inactive": True}}, runs([TWO]), None),
    "switch unclipped": (
        {"switches": {"unclipped": True}},
        {*adapters(LORA, PROMPT), *runs([HEAD, TWO, BERT])},
        None,
    ),
    "switch pool_last_position": ({"switches": {"pool_last_position": True}}, {*POOL, *runs([HEAD, TWO])}, None),
    "switch truncate_and_pad": (
        {"switches": {"truncate_and_pad": True}},
        {*TOKENS, *adapters(LORA, PROMPT), *runs([TWO])},
        None,
    ),
    "switch malformed_codes_kept": (
        {"switches": {"malformed_codes_kept": True}},
        {"build_cohort diagnoses", *POOL, *runs(MODELS, ["diagnoses"]), *runs([HEAD])},
        None,
    ),
    "the split of pmv": ({"data": {"pmv_split": "derived-random"}}, set(), REPORT),
    "asserted row counts": ({"data": {"whole_release": False}}, set(), REPORT),
    "near-duplicates": ({"leakage": {"near_duplicate_threshold": 0.6}}, set(), {*REPORT, "check_leakage", "tabulate"}),
    "the salt of the split": (
        {"data": {"split_salt": "x"}},
        {
            *("train_base tiny-bert", "train_base tiny-llama", "build_cohort mortality", "build_cohort diagnoses"),
            *(*TOKENS, *adapters(LORA, PROMPT), *OF_COHORTS),
        },
        None,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def planned(tiny_run, tmp_path_factory) -> dict[str, list[str]]:
    """The jobs of a dry run after each edit, all in one process."""
    folder = tmp_path_factory.mktemp("edits")
    files = []
    for number, (changes, _, _) in enumerate(EDITS.values()):
        files.append(folder / f"{number}.yaml")
        files[-1].write_text(yaml.safe_dump(deep_merge(TINY, changes)))
    always = ["--snakefile", REPOSITORY / "Snakefile", "--cores", "2", "--directory", tiny_run.folder]
    found = dry_runs([[*always, "--configfile", file] for file in files], tiny_run.folder)
    assert [each["output"] for each in found if each["code"]] == []
    return {edit: each["jobs"] for edit, each in zip(EDITS, found, strict=True)}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_reruns_what_reads_it(edit, planned):
    _, costly, cheap = EDITS[edit]
    jobs = planned[edit]
    assert {job for job in jobs if job.split()[0] not in CHEAP} == costly
    if cheap is not None:
        assert {job.split()[0] for job in jobs} & CHEAP == cheap


def test_a_further_seed_and_its_removal_train_nothing_twice(tiny_run, tmp_path):
    """One model on one task in a copy of the study, as its trained seeds take minutes."""
    predictions = "results/tiny/predictions/tfidf/mortality/seed{}.parquet"
    shutil.copytree(tiny_run.folder, tmp_path / "study", symlinks=True)
    two = tmp_path / "two.yaml"
    two.write_text(yaml.safe_dump(deep_merge(TINY, {"matrix": {"seeds": [0, 1]}})))
    before = (tmp_path / "study/results/tiny/runs/finetune/tfidf/mortality/seed0.jsonl").read_bytes()
    more = snakemake(tmp_path / "study", predictions.format(1), config=two)
    assert more.returncode == 0, more.output[-2000:]
    assert (
        "tfidf on mortality: trained before, kept in results/tiny/work/finetune/tfidf/mortality: seed 0\n"
        in more.output
    )
    assert (tmp_path / "study/results/tiny/runs/finetune/tfidf/mortality/seed0.jsonl").read_bytes() == before
    forced = snakemake(tmp_path / "study", predictions.format(1), "--forcerun", "finetune_model", config=two)
    assert forced.returncode == 0, forced.output[-2000:]
    assert "trained before" not in forced.output
    # The cohort is written anew by the same command, so that Snakemake has another reason to run the job.
    both = snakemake(tmp_path / "study", predictions.format(1), "-R", "build_cohort", "finetune_model", config=two)
    assert both.returncode == 0, both.output[-2000:]
    assert "trained before" not in both.output
    less = snakemake(tmp_path / "study", predictions.format(0), "--dry-run")
    assert "Nothing to be done" in less.output


def test_a_killed_job_trains_no_finished_seed_again(tiny_run, tmp_path):
    folder, place = tmp_path / "study", "finetune/bert+lora/mortality"
    shutil.copytree(tiny_run.folder, folder, symlinks=True)
    two = tmp_path / "two.yaml"
    two.write_text(yaml.safe_dump(deep_merge(TINY, {"matrix": {"seeds": [0, 1]}})))
    target = f"results/tiny/{place.replace('finetune', 'predictions')}/seed1.parquet"
    command = [*SNAKEMAKE, target, "--directory", folder, "--configfile", two]
    begun = folder / "results/tiny/work" / place / "seed1"
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    try:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert begun.exists()
    again = snakemake(folder, target, config=two)
    assert again.returncode == 0, again.output[-2000:]
    assert f"bert+lora on mortality: trained before, kept in results/tiny/work/{place}: seed 0\n" in again.output

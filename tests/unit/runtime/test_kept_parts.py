"""Results of parts that outlive a job: reused when they are whole and of the same job, computed again otherwise."""

import json
import stat

import pytest
from leakage_fixtures import REPETITION, cohort_rows, note_rows, write_cohort, write_corpus

from clinical_peft.data import disjoint, held_out, leakage
from clinical_peft.data.disjoint import write_paired_corpora
from clinical_peft.data.leakage import check_leakage
from clinical_peft.runtime.kept_parts import KeptParts, removed_when_done
from clinical_peft.tasks import TASKS


class Work:
    """Counts the parts that are computed; fails at one of them."""

    def __init__(self, fails_at=None):
        self.done, self.fails_at = [], fails_at

    def __call__(self, number):
        if number == self.fails_at:
            raise ZeroDivisionError
        self.done.append(number)
        return {"square": number**2}


EXPECTED = [{"square": number**2} for number in range(5)]


def test_what_was_finished_is_not_done_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        KeptParts(tmp_path / "work", {"a": 1}).results("squares", Work(fails_at=3), 5)
    work = Work()
    assert KeptParts(tmp_path / "work", {"a": 1}).results("squares", work, 5) == EXPECTED
    assert work.done == [3, 4]
    assert stat.S_IMODE((tmp_path / "work").stat().st_mode) == 0o700
    with removed_when_done(tmp_path / "work"):
        pass
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("4", "5", 1),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "",
        lambda text: json.dumps({"result": {"square": 4}}),
    ],
    ids=["changed", "cut off", "another value", "empty", "without a digest"],
)
def test_a_damaged_part_is_done_again(tmp_path, damage):
    KeptParts(tmp_path, {}).results("squares", Work(), 5)
    file = tmp_path / "squares-00002.json"
    file.write_text(damage(file.read_text()))
    work = Work()
    assert KeptParts(tmp_path, {}).results("squares", work, 5) == EXPECTED
    assert work.done == [2]


def test_parts_of_another_job_are_not_used(tmp_path):
    KeptParts(tmp_path / "work", {"files": ["a"]}).results("squares", Work(), 5)
    work = Work()
    assert KeptParts(tmp_path / "work", {"files": ["b"]}).results("squares", work, 5) == EXPECTED
    assert work.done == [0, 1, 2, 3, 4]


def test_nothing_is_kept_without_a_folder(tmp_path):
    work = Work()
    for _ in range(2):
        assert KeptParts(None, {}).results("squares", work, 5) == EXPECTED
    assert len(work.done) == 10


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two cohorts and a corpus in several parts, some notes of which repeat held-out ones."""
    monkeypatch.setattr(held_out, "GROUPS_PER_PART", 1)
    monkeypatch.setattr("clinical_peft.data.note_table.ROW_GROUP_ROWS", 9)
    rows = cohort_rows(40)
    rows[0]["text"] = rows[3]["text"]
    cohorts = [
        write_cohort(tmp_path / "los.parquet", rows[:20]),
        write_cohort(tmp_path / "mortality.parquet", rows[10:]),
    ]
    notes = note_rows(range(1, 60))
    notes[1]["text"] = notes[3 * 7]["text"]
    return tmp_path, cohorts, write_corpus(tmp_path / "all.parquet", notes)


def run_check(study, **settings):
    folder, cohorts, corpus = study
    return check_leakage(
        cohorts,
        {"all": corpus},
        folder / "leakage.json",
        tasks=TASKS,
        forbidden=[],
        sources={},
        with_patients=["all"],
        crossing_allowed=(),
        repetition=REPETITION,
        flattened=False,
        **settings,
    )


def run_pair(study, **settings):
    folder, cohorts, corpus = study
    arms = {name: folder / f"{name}.parquet" for name in ("disjoint", "matched")}
    counts = write_paired_corpora(corpus, cohorts, **arms, repetition=REPETITION, flattened=False, seed=1, **settings)
    return counts, *(path.read_bytes() for path in arms.values())


@pytest.mark.parametrize("run", [run_check, run_pair])
def test_neither_processes_nor_a_kill_change_a_result(study, monkeypatch, run):
    expected = run(study)
    work = study[0] / "work"
    module, part = (leakage, "_corpus_part") if run is run_check else (disjoint, "_reasons_of_part")
    compare, numbers = getattr(module, part), []

    def fails_later(*arguments):
        numbers.append(arguments[-1])
        if len(numbers) == 4:
            raise KeyboardInterrupt
        return compare(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, part, fails_later)
        with pytest.raises(KeyboardInterrupt):
            run(study, work=work)
    kept = {file.name: file.stat().st_mtime_ns for file in work.glob("notes*.json")}
    assert len(kept) == 3
    assert run(study, work=work, processes=2) == expected
    assert not work.exists()

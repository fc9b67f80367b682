"""The leakage check: what of validation and test can be learned from elsewhere.

Two kinds of leak end the build: a patient in several splits, be it of one cohort or of two, and held-out patients or
repetitions of their notes in a pretraining corpus that must not hold any. The corpus of a study's own table must hold
no held-out patient; what it repeats is counted. A third does where a study asks for it: an
outcome that a note states. Everything else is counted: admission notes of validation and test that training notes or
the other pretraining corpora repeat, and patients of a task that is split by admission on purpose.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_peft.data.hash_split import HELD_OUT_SPLITS, SPLITS
from clinical_peft.data.held_out import (
    HeldOut,
    Repetition,
    count_parts,
    open_parquet,
    read_held_out,
    read_rows,
    text_digest,
)
from clinical_peft.data.patients import source_of
from clinical_peft.data.shingle_index import Positions
from clinical_peft.data.source_notes import SourceNotes, read_source_notes
from clinical_peft.data.stated_outcomes import RELATIVES_SECTION, stated_outcomes
from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file, write_json
from clinical_peft.runtime.kept_parts import KeptParts, removed_when_done
from clinical_peft.tasks import OwnTask, Task
from clinical_peft.tasks.own import own_record

FORMAT = 1  # of what is kept of a part; raised when the same inputs give another
Best = dict[int, float]
"""By entry of the index of held-out notes, the greatest share of it that a text holds."""
SplitsOf = Mapping[Any, Set[str]]
"""By patient, as `clinical_peft.data.held_out.read_rows` names them, the splits that a cohort has them in."""


def check_leakage(
    cohorts: Sequence[Path],
    corpora: Mapping[str, Path],
    output: Path,
    *,
    tasks: Mapping[str, Task],
    forbidden: Collection[str],
    sources: Mapping[str, Path],
    with_patients: Collection[str],
    crossing_allowed: Collection[str],
    repetition: Repetition,
    flattened: bool,
    fail_on_stated_outcomes: bool = False,
    work: Path | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Check the cohorts and pretraining corpora of a study.

    Cohorts and corpora are read in parts. Time grows with their notes, not with these times the held-out ones, and
    memory with the held-out notes alone.

    Args:
        cohorts: Files ``{task}.parquet``.
        corpora: Tables of notes that the study pretrains on, by name.
        output: JSON file to write: counts alone, no ids and no text. ``exact`` counts notes of which every shingle
            is in another text, ``near`` those of which the threshold's share is.
        tasks: The study's tasks, by name.
        forbidden: Corpora that must hold no held-out patient and no note that repeats a held-out one.
        sources: For each of these, the notes of the whole hospital that it was made of: there stands what the notes
            of held-out patients say beyond their admission notes.
        with_patients: Corpora whose subject_id is that of a hospital's patient.
        crossing_allowed: Tasks whose protocol splits admissions, so that a patient may be in several splits, and in
            others than in another task.
        repetition: When a text repeats a note.
        flattened: Whether the corpora's notes were cleaned as in the original.
        fail_on_stated_outcomes: Whether an outcome that a note states, except as family history, is a leak too.
        work: Folder in which what the parts gave outlives a job that is killed; it is removed at the end. None to
            keep nothing.
        processes: Processes that share the parts; the result does not depend on them.

    Returns:
        What ``output`` holds.

    Raises:
        DataError: There is a leak of a kind that is not allowed, or a file is missing or malformed.
    """
    cohorts = [Path(path) for path in cohorts]
    splits_of = {path.stem: _splits_of_patients(path) for path in cohorts}
    inputs = {*cohorts, *map(Path, corpora.values()), *(Path(sources[name]) for name in forbidden if name in corpora)}
    identity = {
        "format": FORMAT,
        "files": {str(path): sha256_file(path) for path in sorted(inputs) if path.is_file()},
        "repetition": asdict(repetition),
        "flattened": flattened,
        "with_patients": sorted(with_patients),
        "forbidden": sorted(forbidden),
    }
    if own := {name: own_record(task)["stated_outcomes"] for name, task in tasks.items() if isinstance(task, OwnTask)}:
        identity["statements"] = own
    parts = KeptParts(work, identity, processes)
    held_out = read_held_out(cohorts, repetition, flattened=False)
    checked = {
        name: found | {"patients_split_otherwise": _split_otherwise(name, splits_of, crossing_allowed)}
        for name, found in _check_cohorts(cohorts, tasks, splits_of, held_out, repetition, parts).items()
    }
    if flattened:
        del held_out  # one index at a time
        held_out = read_held_out(cohorts, repetition, flattened=True)
    overlaps = {}
    for name, path in corpora.items() if checked else ():  # without a cohort nothing is held out
        source = read_source_notes(sources[name], held_out.subjects, repetition) if name in forbidden else None
        compared = _compare(name, path, held_out, source, repetition, parts, has_patients=name in with_patients)
        overlaps[name] = {"forbidden": name in forbidden} | compared
    leaks = [leak for task in checked if task not in crossing_allowed and (leak := _crossing(task, checked[task]))]
    leaks += [leak for name, path in corpora.items() if name in overlaps and (leak := _own_leak(path, overlaps[name]))]
    leaks += [leak for name in forbidden if name in overlaps and (leak := _leak(name, overlaps[name]))]
    if fail_on_stated_outcomes:
        leaks += [leak for task in checked if (leak := _stated(task, checked[task]))]
    if leaks:
        raise DataError("leakage: " + "; ".join(leaks))
    report = {
        "near_duplicate_threshold": repetition.threshold,
        "shingle_words": repetition.shingle_words,
        "held_out_patients": len(held_out.subjects),
        "crossing_allowed": sorted(set(crossing_allowed) & set(checked)),
        "tasks": checked,
        "corpora": overlaps,
    }
    with removed_when_done(work):
        write_json(output, report)
    return report


def _crossing(task: str, found: Mapping[str, Any]) -> str:
    if count := found["patients_in_several_splits"]:
        return (
            f"cohort {task}: expected every patient in one split, found {count} patients in several; give disjoint "
            "split lists and build the cohort again"
        )
    if count := found["patients_split_otherwise"]:
        return (
            f"cohort {task}: expected every patient in the split of the study's other tasks, found {count} patients in "
            "another; build all cohorts again with one data.splits and data.split_salt"
        )
    return ""


def _stated(task: str, found: Mapping[str, Any]) -> str:
    counts = {split: stated["outside_family_history"] for split, stated in found["stated_outcomes"].items()}
    if not any(counts.values()):
        return ""
    return (
        f"cohort {task}: expected no admission note that states the outcome, found "
        f"{', '.join(f'{count} in {split}' for split, count in counts.items())}; set leakage.drop_stated_outcomes to "
        "leave them out, or leakage.fail_on_stated_outcomes to false to count them"
    )


def _own_leak(corpus: Path, overlap: Mapping[str, Any]) -> str:
    """Return the fault of an own table's corpus, which may hold only training notes."""
    source = source_of(open_parquet(corpus, []).schema_arrow)
    notes = overlap["notes_of_held_out_patients"]
    if source is None or not notes:
        return ""
    return (
        f"corpus {source}: expected only notes of training patients, found {notes} of {overlap['held_out_patients']} "
        "patients of validation or test; run with --forcerun import_table, which builds the table and its corpus again"
    )


def _leak(name: str, overlap: Mapping[str, Any]) -> str:
    notes, repeating = overlap["notes_of_held_out_patients"], overlap["notes_that_repeat"]
    without, of_source = overlap["notes_without_patient"], overlap["notes_that_repeat_source"]
    if not any([notes, without, of_source, *repeating.values()]):
        return ""
    return (
        f"corpus {name}: expected no validation or test patient and no note that repeats one of theirs, found "
        f"{notes or 0} notes of {overlap['held_out_patients'] or 0} such patients, {without or 0} notes of no patient, "
        f"{repeating['exact']} exact and {repeating['near']} near duplicates of their admission notes, {of_source} "
        "notes that repeat the rest of their summaries or another of their notes; delete the corpus, so that it is "
        "built again from these cohorts"
    )


def _splits_of_patients(path: Path) -> SplitsOf:
    splits_of: dict[Any, set[str]] = defaultdict(set)
    for subject_id, split in read_rows(path, ["subject_id", "split"]):
        splits_of[subject_id].add(split)
    return splits_of


def _split_otherwise(task: str, splits_of: Mapping[str, SplitsOf], crossing_allowed: Collection[str]) -> int:
    """Count the patients of a task who are in another split of another task, one that is split by patient."""
    others = [splits for name, splits in splits_of.items() if name != task and name not in crossing_allowed]
    return sum(any(other.get(subject, own) != own for other in others) for subject, own in splits_of[task].items())


def _check_cohorts(
    cohorts: Sequence[Path],
    tasks: Mapping[str, Task],
    splits_of: Mapping[str, SplitsOf],
    held_out: HeldOut,
    repetition: Repetition,
    parts: KeptParts,
) -> dict[str, dict[str, Any]]:
    """Count each cohort's patients per split, its held-out notes that training notes repeat, and stated outcomes.

    A text that several tasks train with is compared once, where the first of them has it.
    """
    best: dict[str, Best] = defaultdict(dict)
    counted = {}
    for path in cohorts:
        found = parts.results(
            f"admissions of {path.stem}",
            partial(_cohort_part, path, tasks[path.stem], held_out, repetition),
            count_parts(path),
        )
        for part in found:
            for task, shares in part["best"].items():
                _note_shares(best[task], _by_entry(shares))
        counted[path.stem] = found
    return {
        task: {
            "admissions": {split: sum(part["admissions"].get(split, 0) for part in found) for split in SPLITS},
            "patients": {split: sum(split in splits for splits in splits_of[task].values()) for split in SPLITS},
            "patients_in_several_splits": sum(len(splits) > 1 for splits in splits_of[task].values()),
            "repeated_in_training": _repeated_admissions(held_out, best[task], [task]).get(task, {}),
            "stated_outcomes": _added_statements(part["stated_outcomes"] for part in found),
        }
        for task, found in counted.items()
    }


def _cohort_part(path: Path, of_task: Task, held_out: HeldOut, repetition: Repetition, part: int) -> dict[str, Any]:
    """Count a part of a cohort, and what its training notes hold of held-out ones, by task."""
    admissions: Counter[str] = Counter()
    statements: list[list[Any]] = []
    best: dict[str, Best] = defaultdict(dict)
    for split, text in read_rows(path, ["split", "text"], part):
        admissions[split] += 1
        if found := stated_outcomes(of_task, text):
            statements.append([split, found])
        if split not in HELD_OUT_SPLITS and (tasks := held_out.training[text_digest(text)])[0] == path.stem:
            codes = repetition.codes_of_admission_note(text)
            repeated = _shares(*held_out.index.repeated(codes))
            for task in tasks if repeated else ():
                _note_shares(best[task], repeated)
    return {"admissions": admissions, "best": best, "stated_outcomes": statements}


def _added_statements(parts: Iterable[Sequence[Sequence[Any]]]) -> dict[str, dict[str, Any]]:
    """Count admissions that state an outcome, by split and section."""
    stating: Counter[str] = Counter()
    outside_family_history: Counter[str] = Counter()
    sections = {split: defaultdict[str, Counter[str]](Counter) for split in SPLITS}
    for split, found in (row for part in parts for row in part):
        stating[split] += 1
        outside_family_history[split] += any(section != RELATIVES_SECTION for section, _ in found)
        for section, statement in found:
            sections[split][section][statement] += 1
    return {
        split: {
            "admissions": stating[split],
            "outside_family_history": outside_family_history[split],
            "sections": {name: dict(of_split[name]) for name in of_split},
        }
        for split, of_split in sections.items()
    }


def _compare(
    name: str,
    notes: Path,
    held_out: HeldOut,
    source: SourceNotes | None,
    repetition: Repetition,
    parts: KeptParts,
    *,
    has_patients: bool,
) -> dict[str, Any]:
    """Count what a corpus holds of the held-out patients and, with a source, of more than their admission notes."""
    found = parts.results(
        f"notes of {name}", partial(_corpus_part, notes, held_out, source, repetition), count_parts(notes)
    )
    counts = sum((Counter(part["counts"]) for part in found), Counter())
    best: Best = {}
    for part in found:
        _note_shares(best, _by_entry(part["best"]))
    subjects = {subject_id for part in found for subject_id in part["held_out_patients"]}
    return {
        "notes": counts["notes"],
        "notes_of_held_out_patients": counts["of_held_out_patients"] if has_patients else None,
        "held_out_patients": len(subjects) if has_patients else None,
        "notes_without_patient": counts["without_patient"] if has_patients else None,
        "notes_that_repeat": {kind: counts[kind] for kind in ("exact", "near")},
        "notes_that_repeat_source": counts["of_source"] if source else None,
        "repeated": _repeated_admissions(held_out, best, list(_tasks_of(held_out))),
    }


def _corpus_part(
    notes: Path, held_out: HeldOut, source: SourceNotes | None, repetition: Repetition, part: int
) -> dict[str, Any]:
    """Count a part of a corpus, and what its notes hold of held-out ones."""
    counts: Counter[str] = Counter()
    best: Best = {}
    subjects: set[Any] = set()
    for subject_id, text in read_rows(notes, ["subject_id", "text"], part):
        counts["notes"] += 1
        counts["without_patient"] += subject_id is None
        if subject_id in held_out.subjects:
            counts["of_held_out_patients"] += 1
            subjects.add(subject_id)
        codes = repetition.codes(text)
        if repeated := _shares(*held_out.index.repeated(codes)):
            counts["exact" if max(repeated.values()) == 1 else "near"] += 1
            _note_shares(best, repeated)
        elif source:
            counts["of_source"] += source.repeated_by(codes)
    return {"counts": counts, "best": best, "held_out_patients": sorted(subjects)}


def _shares(positions: Positions, shares: npt.NDArray[np.float64]) -> Best:
    return dict(zip(positions.tolist(), shares.tolist(), strict=True))


def _by_entry(shares: Mapping[str | int, float]) -> Best:
    """Return shares as they were before their keys became JSON's."""
    return {int(entry): share for entry, share in shares.items()}


def _note_shares(best: Best, shares: Best) -> None:
    for entry, share in shares.items():
        best[entry] = max(best.get(entry, 0.0), share)


def _tasks_of(held_out: HeldOut) -> Set[str]:
    return {task for admissions in held_out.admissions for task, _ in admissions}


def _repeated_admissions(held_out: HeldOut, best: Best, tasks: Collection[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Count admissions by task and split, and those whose note is repeated exactly or nearly."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for entry, admissions in enumerate(held_out.admissions):
        for task, split in admissions:
            if task not in tasks:
                continue
            splits = counts.setdefault(task, {})
            count = splits.setdefault(split, {"admissions": 0, "exact": 0, "near": 0})
            count["admissions"] += 1
            if entry in best:
                count["exact" if best[entry] == 1 else "near"] += 1
    return counts

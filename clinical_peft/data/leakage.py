"""The leakage check: what of validation and test can be learned from elsewhere.

Two kinds of leak end the build: a patient in several splits, be it of one cohort or of two, and held-out patients or
repetitions of their notes in a pretraining corpus that must not hold any. A third does where a study asks for it: an
outcome that a note states. Everything else is counted: admission notes of validation and test that training notes or
the other pretraining corpora repeat, and patients of a task that is split by admission on purpose.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_peft.data.held_out import HeldOut, Repetition, read_held_out, read_rows
from clinical_peft.data.source_notes import SourceNotes, read_source_notes
from clinical_peft.data.stated_outcomes import RELATIVES_SECTION, stated_outcomes
from clinical_peft.errors import DataError
from clinical_peft.files import write_json
from clinical_peft.hash_split import HELD_OUT_SPLITS, SPLITS

Shares = npt.NDArray[np.float64]
SplitsOf = Mapping[int, Set[str]]


def check_leakage(
    cohorts: Sequence[Path],
    corpora: Mapping[str, Path],
    output: Path,
    *,
    forbidden: Collection[str],
    sources: Mapping[str, Path],
    with_patients: Collection[str],
    crossing_allowed: Collection[str],
    repetition: Repetition,
    flattened: bool,
    fail_on_stated_outcomes: bool = False,
) -> dict[str, Any]:
    """Check the cohorts and pretraining corpora of a study.

    Args:
        cohorts: Files ``{task}.parquet``.
        corpora: Tables of notes that the study pretrains on, by name.
        output: JSON file to write: counts alone, no ids and no text. ``exact`` counts notes of which every shingle
            is in another text, ``near`` those of which the threshold's share is.
        forbidden: Corpora that must hold no held-out patient and no note that repeats a held-out one.
        sources: For each of these, the notes of the whole hospital that it was made of: there stands what the notes
            of held-out patients say beyond their admission notes.
        with_patients: Corpora whose subject_id is that of a hospital's patient.
        crossing_allowed: Tasks whose protocol splits admissions, so that a patient may be in several splits, and in
            others than in another task.
        repetition: When a text repeats a note.
        flattened: Whether the corpora's notes were cleaned as in the original.
        fail_on_stated_outcomes: Whether an outcome that a note states, family history apart, is a leak too.

    Returns:
        What ``output`` holds.

    Raises:
        DataError: There is a leak of a kind that is not allowed, or a file is missing or malformed.
    """
    splits_of = {path.stem: _splits_of_patients(path) for path in map(Path, cohorts)}
    tasks = {
        path.stem: _check_cohort(path, splits_of[path.stem], repetition)
        | {"patients_split_otherwise": _split_otherwise(path.stem, splits_of, crossing_allowed)}
        for path in map(Path, cohorts)
    }
    held_out = read_held_out(cohorts, repetition, flattened=flattened)
    overlaps = {}
    for name, path in corpora.items() if tasks else ():  # without a cohort nothing is held out
        source = read_source_notes(sources[name], held_out.subjects, repetition) if name in forbidden else None
        compared = _compare(path, held_out, source, repetition, has_patients=name in with_patients)
        overlaps[name] = {"forbidden": name in forbidden} | compared
    leaks = [leak for task in tasks if task not in crossing_allowed and (leak := _crossing(task, tasks[task]))]
    leaks += [leak for name in forbidden if name in overlaps and (leak := _leak(name, overlaps[name]))]
    if fail_on_stated_outcomes:
        leaks += [leak for task in tasks if (leak := _stated(task, tasks[task]))]
    if leaks:
        raise DataError("leakage: " + "; ".join(leaks))
    report = {
        "near_duplicate_threshold": repetition.threshold,
        "shingle_words": repetition.shingle_words,
        "held_out_patients": len(held_out.subjects),
        "crossing_allowed": sorted(set(crossing_allowed) & set(tasks)),
        "tasks": tasks,
        "corpora": overlaps,
    }
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
    splits_of: dict[int, set[str]] = defaultdict(set)
    for subject_id, split in read_rows(path, ["subject_id", "split"]):
        splits_of[subject_id].add(split)
    return splits_of


def _split_otherwise(task: str, splits_of: Mapping[str, SplitsOf], crossing_allowed: Collection[str]) -> int:
    """Count the patients of a task who are in another split of another task, one that is split by patient."""
    others = [splits for name, splits in splits_of.items() if name != task and name not in crossing_allowed]
    return sum(any(other.get(subject, own) != own for other in others) for subject, own in splits_of[task].items())


def _check_cohort(path: Path, splits_of: SplitsOf, repetition: Repetition) -> dict[str, Any]:
    """Count a cohort's patients per split, its held-out notes that training notes repeat, and stated outcomes."""
    admissions: Counter[str] = Counter()
    stating: Counter[str] = Counter()
    outside_family_history: Counter[str] = Counter()
    statements = {split: defaultdict[str, Counter[str]](Counter) for split in SPLITS}
    held_out = read_held_out([path], repetition, flattened=False)
    best = np.zeros(len(held_out.index.sizes))
    for split, text in read_rows(path, ["split", "text"]):
        admissions[split] += 1
        found = stated_outcomes(path.stem, text)
        stating[split] += bool(found)
        outside_family_history[split] += any(section != RELATIVES_SECTION for section, _ in found)
        for section, statement in found:
            statements[split][section][statement] += 1
        if split not in HELD_OUT_SPLITS:
            codes = repetition.codes_of_admission_note(text)
            _note_shares(best, *held_out.index.repeated(codes, repetition.threshold))
    return {
        "admissions": {split: admissions[split] for split in SPLITS},
        "patients": {split: sum(split in splits for splits in splits_of.values()) for split in SPLITS},
        "patients_in_several_splits": sum(len(splits) > 1 for splits in splits_of.values()),
        "repeated_in_training": _repeated_admissions(held_out, best).get(path.stem, {}),
        "stated_outcomes": {
            split: {
                "admissions": stating[split],
                "outside_family_history": outside_family_history[split],
                "sections": {name: dict(sections[name]) for name in sections},
            }
            for split, sections in statements.items()
        },
    }


def _compare(
    notes: Path, held_out: HeldOut, source: SourceNotes | None, repetition: Repetition, *, has_patients: bool
) -> dict[str, Any]:
    """Count what a corpus holds of the held-out patients and, with a source, of more than their admission notes."""
    best = np.zeros(len(held_out.index.sizes))
    repeating = {"exact": 0, "near": 0}
    total = of_held_out = without_patient = of_source = 0
    subjects: set[int] = set()
    for subject_id, text in read_rows(notes, ["subject_id", "text"]):
        total += 1
        without_patient += subject_id is None
        if has_patients and subject_id in held_out.subjects:
            of_held_out += 1
            subjects.add(subject_id)
        codes = repetition.codes(text)
        positions, shares = held_out.index.repeated(codes, repetition.threshold)
        if len(positions):
            repeating["exact" if shares.max() == 1 else "near"] += 1
            _note_shares(best, positions, shares)
        elif source:
            of_source += source.repeated_by(codes)
    return {
        "notes": total,
        "notes_of_held_out_patients": of_held_out if has_patients else None,
        "held_out_patients": len(subjects) if has_patients else None,
        "notes_without_patient": without_patient if has_patients else None,
        "notes_that_repeat": repeating,
        "notes_that_repeat_source": of_source if source else None,
        "repeated": _repeated_admissions(held_out, best),
    }


def _note_shares(best: Shares, positions: npt.NDArray[np.int64], shares: Shares) -> None:
    best[positions] = np.maximum(best[positions], shares)


def _repeated_admissions(held_out: HeldOut, best: Shares) -> dict[str, dict[str, dict[str, int]]]:
    """Count admissions by task and split, and those whose note is repeated exactly or nearly."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for share, admissions in zip(best, held_out.admissions, strict=True):
        for task, split in admissions:
            splits = counts.setdefault(task, {})
            count = splits.setdefault(split, {"admissions": 0, "exact": 0, "near": 0})
            count["admissions"] += 1
            if share:
                count["exact" if share == 1 else "near"] += 1
    return counts

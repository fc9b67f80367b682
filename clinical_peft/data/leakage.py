"""The leakage check: what of validation and test can be learned from elsewhere.

Two kinds of leak end the build: a patient in several splits of a cohort, and held-out patients or repetitions of
their notes in a pretraining corpus that must not hold any. Everything else is counted: admission notes of validation
and test that training notes or the other pretraining corpora repeat, and outcomes that a note states.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_peft.data.held_out import HeldOut, Repetition, read_held_out, read_rows
from clinical_peft.data.stated_outcomes import stated_outcomes
from clinical_peft.errors import DataError
from clinical_peft.files import write_json
from clinical_peft.hash_split import HELD_OUT_SPLITS, SPLITS

Shares = npt.NDArray[np.float64]


def check_leakage(
    cohorts: Sequence[Path],
    corpora: Mapping[str, Path],
    output: Path,
    *,
    forbidden: Collection[str],
    with_patients: Collection[str],
    crossing_allowed: Collection[str],
    repetition: Repetition,
    flattened: bool,
) -> dict[str, Any]:
    """Check the cohorts and pretraining corpora of a study.

    Args:
        cohorts: Files ``{task}.parquet``.
        corpora: Tables of notes that the study pretrains on, by name.
        output: JSON file to write: counts alone, no ids and no text. ``exact`` counts notes of which every shingle
            is in another text, ``near`` those of which the threshold's share is.
        forbidden: Corpora that must hold no held-out patient and no note that repeats a held-out one.
        with_patients: Corpora whose subject_id is that of a hospital's patient.
        crossing_allowed: Tasks whose protocol splits admissions, so that a patient may be in several splits.
        repetition: When a text repeats a note.
        flattened: Whether the corpora's notes were cleaned as in the original.

    Returns:
        What ``output`` holds.

    Raises:
        DataError: There is a leak of the two kinds that are not allowed, or a file is missing or malformed.
    """
    tasks = {path.stem: _check_cohort(path, repetition) for path in map(Path, cohorts)}
    held_out = read_held_out(cohorts, repetition, flattened=flattened)
    overlaps = {
        name: {"forbidden": name in forbidden}
        | _compare(path, held_out, repetition, has_patients=name in with_patients)
        for name, path in corpora.items()
        if tasks  # without a cohort nothing is held out
    }
    leaks = [
        f"cohort {task}: expected every patient in one split, found {count} patients in several; give disjoint split "
        "lists and build the cohort again"
        for task, found in tasks.items()
        if (count := found["patients_in_several_splits"]) and task not in crossing_allowed
    ]
    leaks += [leak for name in forbidden if name in overlaps and (leak := _leak(name, overlaps[name]))]
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


def _leak(name: str, overlap: Mapping[str, Any]) -> str:
    notes, repeating = overlap["notes_of_held_out_patients"], overlap["notes_that_repeat"]
    if not notes and not any(repeating.values()):
        return ""
    return (
        f"corpus {name}: expected no validation or test patient and no note that repeats one of theirs, found "
        f"{notes or 0} notes of {overlap['held_out_patients'] or 0} such patients, {repeating['exact']} exact and "
        f"{repeating['near']} near duplicates; delete the corpus, so that it is built again from these cohorts"
    )


def _check_cohort(path: Path, repetition: Repetition) -> dict[str, Any]:
    """Count a cohort's patients per split, its held-out notes that training notes repeat, and stated outcomes."""
    splits_of: dict[int, set[str]] = defaultdict(set)
    admissions: Counter[str] = Counter()
    stating: Counter[str] = Counter()
    statements = {split: defaultdict[str, Counter[str]](Counter) for split in SPLITS}
    held_out = read_held_out([path], repetition, flattened=False)
    best = np.zeros(len(held_out.index.sizes))
    for subject_id, split, text in read_rows(path, ["subject_id", "split", "text"]):
        splits_of[subject_id].add(split)
        admissions[split] += 1
        found = stated_outcomes(path.stem, text)
        stating[split] += bool(found)
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
            split: {"admissions": stating[split], "sections": {name: dict(sections[name]) for name in sections}}
            for split, sections in statements.items()
        },
    }


def _compare(notes: Path, held_out: HeldOut, repetition: Repetition, *, has_patients: bool) -> dict[str, Any]:
    """Count what a corpus holds of the held-out patients and notes."""
    best = np.zeros(len(held_out.index.sizes))
    repeating = {"exact": 0, "near": 0}
    total = of_held_out = 0
    subjects: set[int] = set()
    for subject_id, text in read_rows(notes, ["subject_id", "text"]):
        total += 1
        if has_patients and subject_id in held_out.subjects:
            of_held_out += 1
            subjects.add(subject_id)
        positions, shares = held_out.index.repeated(repetition.codes(text), repetition.threshold)
        if len(positions):
            repeating["exact" if shares.max() == 1 else "near"] += 1
            _note_shares(best, positions, shares)
    return {
        "notes": total,
        "notes_of_held_out_patients": of_held_out if has_patients else None,
        "held_out_patients": len(subjects) if has_patients else None,
        "notes_that_repeat": repeating,
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

"""Named deviations between the original's protocol and the corrected one.

A switch that is true reproduces what the original does; `paper` turns all of them on, `corrected` none, and a
study may set single ones.
"""

from collections.abc import Mapping
from typing import Literal

DATA_SWITCHES = {
    "notes_flattened": "note text is cleaned as in the original: de-identification brackets deleted, every line "
    "break a space; otherwise marks are normalised, structure is kept, empty notes and exact duplicates are dropped",
    "sections_unanchored": "admission sections are found by CORe's unanchored patterns, which lose a last section and "
    "may match inside a line; otherwise headers stand at the start of a line",
    "addenda_searched": "addenda, which are written after discharge, are searched for admission sections too; "
    "otherwise reports alone",
    "error_notes_kept": "discharge summaries that MIMIC-III marks as errors count like any other; otherwise they are "
    "left out and counted",
    "marks_kept": "admission notes keep MIMIC-III's de-identification marks with what they hold; otherwise each is "
    "___, as in MIMIC-IV",
    "los_rounded": "length of stay is rounded to 0.1 days before it is binned",
    "negative_stays_kept": "an admission that ends before it begins counts as a short stay; otherwise it is left out "
    "and counted",
    "procedure_codes_as_integers": "procedure codes are read as integers and lose their leading zeros",
    "malformed_codes_kept": "codes that have not the form of ICD-9-CM are shortened like any other; otherwise they are "
    "left out and counted",
    "label_space_whole_table": "the classes of a multilabel task are the codes of the whole table; otherwise those of "
    "the cohort's training split",
    "death_phrases_original": "statements of death are removed by CORe's patterns, false hits included",
}

TRAINING_SWITCHES = {
    "truncate_and_pad": "each pretraining note is cut to the context and padded to it; otherwise long notes are split "
    "and no padding is stored",
    "task_adapter_inactive": "the second adapter is added but never activated",
    "warmup_as_steps": "the warm-up ratio is passed where steps are expected, so that there is no warm-up",
    "schedule_in_micro_steps": "the schedule is sized in micro-steps but advanced once per optimizer step",
    "unclipped": "gradients are not clipped",
    "last_epoch": "the last epoch is kept; otherwise the best one by validation",
    "pool_last_position": "the classifier pools the last position, padding included",
    "multilabel_softmax": "scores of the multilabel tasks are a softmax over labels; otherwise a sigmoid per label",
}

# What the original does with the notes and the codes of MIMIC-III, and what has no meaning for those of MIMIC-IV.
MIMIC_III_SWITCHES = ("sections_unanchored", "procedure_codes_as_integers")

SWITCHES = DATA_SWITCHES | TRAINING_SWITCHES

Stage = Literal["corpus", "shards", "admission", "cohort", "adapter", "model"]

# The stages whose own work a switch changes; what is made from their files changes with them.
STAGES: dict[str, tuple[Stage, ...]] = {
    "notes_flattened": ("corpus",),
    "truncate_and_pad": ("shards",),
    **dict.fromkeys(("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept"), ("admission",)),
    **dict.fromkeys(("los_rounded", "negative_stays_kept", "death_phrases_original"), ("cohort",)),
    **dict.fromkeys(("procedure_codes_as_integers", "malformed_codes_kept", "label_space_whole_table"), ("cohort",)),
    **dict.fromkeys(("warmup_as_steps", "schedule_in_micro_steps", "unclipped", "last_epoch"), ("adapter", "model")),
    **dict.fromkeys(("task_adapter_inactive", "pool_last_position", "multilabel_softmax"), ("model",)),
}

# The tasks that a switch may change; a switch that is not here may change all.
TASKS_OF_SWITCH = {
    "los_rounded": ("los",),
    "negative_stays_kept": ("los",),
    "death_phrases_original": ("mortality", "pmv"),
    "procedure_codes_as_integers": ("procedures",),
    "malformed_codes_kept": ("diagnoses", "procedures"),
    "label_space_whole_table": ("diagnoses", "procedures"),
    "multilabel_softmax": ("diagnoses", "procedures"),
}


def resolve_switches(protocol: str, overrides: dict[str, bool]) -> dict[str, bool]:
    """Return every switch with its value under a protocol (`paper` or `corrected`) and the study's overrides."""
    return dict.fromkeys(SWITCHES, protocol == "paper") | overrides


def name_protocol(switches: Mapping[str, bool]) -> str:
    """Name what switches amount to: `corrected`, `paper`, or the nearer one `with` or `without` single switches."""
    on = sorted(name for name, value in switches.items() if value)
    off = sorted(name for name, value in switches.items() if not value)
    if len(on) <= len(off):
        return f"corrected with {', '.join(on)}" if on else "corrected"
    return f"paper without {', '.join(off)}" if off else "paper"

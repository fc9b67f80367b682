"""Named deviations between the original's protocol and the corrected one.

A switch that is true reproduces what the original does; `paper` turns all of them on, `corrected` none, and a
study may set single ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from clinical_peft.errors import ConfigError
from clinical_peft.tasks import Task

Stage = Literal["corpus", "shards", "admission", "cohort", "adapter", "model"]
DATA_STAGES: frozenset[Stage] = frozenset({"corpus", "admission", "cohort"})


@dataclass(frozen=True, kw_only=True)
class Switch:
    """One of the original's choices.

    Attributes:
        name: Key in a study.
        help: What it does when it is on, and what happens otherwise.
        stages: The stages whose own work it changes; what is made from their files changes with them.
        concern: What it is about, in a word or two, for table `protocol_gaps`.
        tasks: Whether it may change runs of a task that does not name it among its switches; None for all.
        sources: The sources of cohorts for which it has a meaning; None for all.
        only_for: The models whose runs it may change: those with two adapters, or those on a decoder; None for all.
    """

    name: str
    help: str
    stages: tuple[Stage, ...]
    concern: str
    tasks: Callable[[Task], bool] | None = None
    sources: tuple[str, ...] | None = None
    only_for: Literal["two adapters", "decoder"] | None = None

    def is_for_task(self, task: Task) -> bool:
        """Whether it may change runs of a task."""
        return self.tasks is None or self.name in task.switches or self.tasks(task)

    def is_for_source(self, source: str) -> bool:
        """Whether it has a meaning for cohorts of a source."""
        return self.sources is None or source in self.sources

    @property
    def is_of_data(self) -> bool:
        """Whether it changes notes or cohorts, rather than training."""
        return bool(DATA_STAGES.intersection(self.stages))


_TRAINING: tuple[Stage, ...] = ("adapter", "model")


def _has_codes(task: Task) -> bool:
    return task.codes is not None


def _is_multilabel(task: Task) -> bool:
    return task.multilabel


def _has_integer_codes(task: Task) -> bool:
    return task.codes is not None and task.codes.may_be_integers


def _drops_death_statements(task: Task) -> bool:
    return task.drops_death_statements


def _names_it_alone(_: Task) -> bool:
    return False


SWITCHES = {
    switch.name: switch
    for switch in (
        Switch(
            name="notes_flattened",
            help="note text is cleaned as in the original: de-identification brackets deleted, every line break a "
            "space; otherwise marks are normalised, structure is kept, empty notes and exact duplicates are "
            "dropped",
            stages=("corpus",),
            concern="pretraining notes",
        ),
        Switch(
            name="sections_unanchored",
            help="admission sections are found by CORe's unanchored patterns, which lose a last section and may "
            "match inside a line; otherwise headers stand at the start of a line",
            stages=("admission",),
            concern="admission notes",
            sources=("mimic-iii",),
        ),
        Switch(
            name="addenda_searched",
            help="addenda, which are written after discharge, are searched for admission sections too; otherwise "
            "reports alone",
            stages=("admission",),
            concern="admission notes",
        ),
        Switch(
            name="error_notes_kept",
            help="discharge summaries that MIMIC-III marks as errors count like any other; otherwise they are left "
            "out and counted",
            stages=("admission",),
            concern="admission notes",
        ),
        Switch(
            name="marks_kept",
            help="admission notes keep MIMIC-III's de-identification marks with what they hold; otherwise each is "
            "___, as in MIMIC-IV",
            stages=("admission",),
            concern="admission notes",
        ),
        Switch(
            name="los_rounded",
            help="length of stay is rounded to 0.1 days before it is binned",
            stages=("cohort",),
            concern="labels",
            tasks=_names_it_alone,
        ),
        Switch(
            name="negative_stays_kept",
            help="an admission that ends before it begins counts as a short stay; otherwise it is left out and counted",
            stages=("cohort",),
            concern="labels",
            tasks=_names_it_alone,
        ),
        Switch(
            name="procedure_codes_as_integers",
            help="procedure codes are read as integers and lose their leading zeros",
            stages=("cohort",),
            concern="labels",
            tasks=_has_integer_codes,
            sources=("mimic-iii",),
        ),
        Switch(
            name="malformed_codes_kept",
            help="codes that have not the form of ICD-9-CM are shortened like any other; otherwise they are left "
            "out and counted",
            stages=("cohort",),
            concern="labels",
            tasks=_has_codes,
        ),
        Switch(
            name="label_space_whole_table",
            help="the classes of a multilabel task are the codes of the whole table; otherwise those of the "
            "cohort's training split",
            stages=("cohort",),
            concern="labels",
            tasks=_has_codes,
        ),
        Switch(
            name="death_phrases_original",
            help="statements of death are removed by CORe's patterns, false hits included",
            stages=("cohort",),
            concern="labels",
            tasks=_drops_death_statements,
        ),
        Switch(
            name="truncate_and_pad",
            help="each pretraining note is cut to the context and padded to it; otherwise long notes are split and "
            "no padding is stored",
            stages=("shards",),
            concern="truncation",
        ),
        Switch(
            name="task_adapter_inactive",
            help="the second adapter is added but never activated",
            stages=("model",),
            concern="adapter activation",
            only_for="two adapters",
        ),
        Switch(
            name="warmup_as_steps",
            help="the warm-up ratio is passed where steps are expected, so that there is no warm-up",
            stages=_TRAINING,
            concern="schedule",
        ),
        Switch(
            name="schedule_in_micro_steps",
            help="the schedule is sized in micro-steps but advanced once per optimizer step",
            stages=_TRAINING,
            concern="schedule",
        ),
        Switch(
            name="unclipped",
            help="gradients are not clipped",
            stages=_TRAINING,
            concern="schedule",
        ),
        Switch(
            name="last_epoch",
            help="the last epoch is kept; otherwise the best one by validation",
            stages=_TRAINING,
            concern="schedule",
        ),
        Switch(
            name="pool_last_position",
            help="the classifier pools the last position, padding included",
            stages=("model",),
            concern="pooling",
            only_for="decoder",
        ),
        Switch(
            name="multilabel_softmax",
            help="scores of the multilabel tasks are a softmax over labels; otherwise a sigmoid per label",
            stages=("model",),
            concern="scoring",
            tasks=_is_multilabel,
        ),
    )
}
DATA_SWITCHES = tuple(name for name, switch in SWITCHES.items() if switch.is_of_data)
TRAINING_SWITCHES = tuple(name for name, switch in SWITCHES.items() if not switch.is_of_data)


def switch_on(switches: Mapping[str, bool], name: str) -> bool:
    """Return a switch (True: as the original does).

    Raises:
        ConfigError: It is not given: a default would hide that the job lacks it.
    """
    if name not in switches:
        raise ConfigError(f"switches: expected a value for {name}, found none")
    return switches[name]


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

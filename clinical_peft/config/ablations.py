"""The study again with one of the original's choices: how such runs are named, and what differs in each.

A corpus, a task, an adapter or a model followed by `@` and a switch is the same with that switch turned on, and with
`@paper` all are: `cohorts/los@los_rounded.parquet` has the labels of rounded stays. Every such file can be asked for.
What a switch does not reach, an ablation takes from the study itself. A model followed by `@n100` is the same trained
on a part of the training split, of 100 rows; it shares all else with the study.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.recipes.families import find_family
from clinical_peft.recipes.switches import (
    SWITCHES,
    Stage,
    Switch,
    name_protocol,
    resolve_switches,
)
from clinical_peft.sources import SOURCES, find_source, hospital_corpora

ALL = "paper"
MARK = "@"
SIZED = r"n[1-9]\d*"
ADAPTER_STAGES: tuple[Stage, ...] = ("corpus", "shards", "adapter")


@dataclass(frozen=True)
class Ablation:
    """One run of the model of `gaps` under a switch.

    Attributes:
        switch: The switch, or `ALL`.
        task: The task.
        model: Name of the model under the switch.
        cohort: Name of the task under the switch.
        adapter: Name of the model's clinical adapter under the switch; None without one.
    """

    switch: str
    task: str
    model: str
    cohort: str
    adapter: str | None


def plain(name: str) -> str:
    """The name without a switch or a size."""
    return name.partition(MARK)[0]


def switch_of(name: str) -> str | None:
    """The switch in a name, `ALL`, or None."""
    return None if size_of(name) else name.partition(MARK)[2] or None


def size_of(name: str) -> int | None:
    """The training rows in a model's name, or None for the whole training split."""
    suffix = name.partition(MARK)[2]
    return int(suffix[1:]) if re.fullmatch(SIZED, suffix) else None


def with_size(model: str, size: int | None) -> str:
    """Name of a model that is trained on so many rows; None for the whole training split."""
    return model if size is None else f"{model}{MARK}n{size}"


def switches_under(study: Study, name: str) -> dict[str, bool]:
    """Every switch with its value for the corpus, task, adapter or model of that name."""
    switch = switch_of(name)
    if switch == ALL:
        elsewhere = [name for name, each in SWITCHES.items() if not each.is_for_source(study.cohorts.source)]
        return resolve_switches("paper", dict.fromkeys(elsewhere, False))
    return study.resolved_switches | ({switch: True} if switch else {})


def protocol_of_run(study: Study, model: str, task: str) -> str:
    """Name the protocol of a run, whose model or task may carry a switch."""
    return name_protocol(switches_under(study, model if switch_of(model) else task))


def switches_at(*stages: Stage) -> list[str]:
    """The switches, and `ALL`, that change the work of any of these stages."""
    return [*(name for name, switch in SWITCHES.items() if set(switch.stages) & set(stages)), ALL]


def _under(name: str, switch: str | None, *stages: Stage) -> str:
    return f"{plain(name)}{MARK}{switch}" if switch in switches_at(*stages) else plain(name)


def notes_of_shards(corpus: str) -> str:
    """Name of the notes that the token shards of a corpus are made from; no switch changes a user's own."""
    return _under(corpus, switch_of(corpus), "corpus") if plain(corpus) in hospital_corpora() else plain(corpus)


def shards_of_adapter(study: Study, adapter: str) -> str:
    """Name of the corpus whose token shards train an adapter."""
    return _under(study.adapters[plain(adapter)].corpus, switch_of(adapter), "corpus", "shards")


def adapter_of_model(study: Study, model: str) -> str | None:
    """Name of a model's clinical adapter, or None without one."""
    clinical = study.models[plain(model)].clinical
    if clinical is None or study.adapters[clinical].path is not None:
        return clinical
    return _under(clinical, switch_of(model), *ADAPTER_STAGES)


def admission_notes_of(task: str) -> str:
    """Name of the admission notes that the cohort of a task is made from."""
    return _under("admission", switch_of(task), "admission")


def ablations_in_use(study: Study) -> list[Ablation]:
    """The runs that `gaps` asks for, switch by switch, all switches together last."""
    if study.gaps.model is None:
        return []
    return [
        _ablation(study, study.gaps.model, switch, task)
        for switch in (*chosen_switches(study), ALL)
        for task in _tasks(study)
        if may_change(study, switch, task)
    ]


def chosen_switches(study: Study) -> list[str]:
    """The switches that `gaps` turns on, each alone."""
    return [switch for switch in SWITCHES if switch in (study.gaps.switches or SWITCHES)]


@dataclass(frozen=True)
class AblationInputs:
    """What `gaps` needs beyond the study's matrix, by kind; each name once and with a switch.

    Attributes:
        corpora: Notes.
        shards: Corpora of token shards.
        adapters: Clinical adapters.
        admission: Admission notes.
        cohorts: Tasks.
        runs: Model and task of every run.
    """

    corpora: tuple[str, ...]
    shards: tuple[str, ...]
    adapters: tuple[str, ...]
    admission: tuple[str, ...]
    cohorts: tuple[str, ...]
    runs: tuple[tuple[str, str], ...]


def ablation_inputs(study: Study) -> AblationInputs:
    """Everything that exists for ablations alone."""
    used = ablations_in_use(study)
    adapters = _switched(each.adapter for each in used if each.adapter)
    shards = _switched(shards_of_adapter(study, adapter) for adapter in adapters)
    cohorts = _switched(each.cohort for each in used)
    return AblationInputs(
        corpora=_switched(map(notes_of_shards, shards)),
        shards=shards,
        adapters=adapters,
        admission=_switched(map(admission_notes_of, cohorts)),
        cohorts=cohorts,
        runs=tuple((each.model, each.cohort) for each in used),
    )


def _switched(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if switch_of(name)))


def untouched_tasks(study: Study) -> dict[str, list[str]]:
    """By switch that `gaps` asks for, the tasks whose runs it cannot change; switches that change all are absent."""
    tasks = _tasks(study) if study.gaps.model else []
    found = {
        switch: [task for task in tasks if not may_change(study, switch, task)] for switch in chosen_switches(study)
    }
    return {switch: left for switch, left in found.items() if left}


def _tasks(study: Study) -> list[str]:
    return study.gaps.tasks or study.matrix.tasks


def may_change(study: Study, switch: str, task: str) -> bool:
    """Whether a switch can change the runs of the model of `gaps` on a task."""
    model = study.models[study.gaps.model or ""]
    if switch == ALL:
        return True
    choice = SWITCHES[switch]
    if study.resolved_switches[switch] or not is_for_cohort(study, choice, task):
        return False
    if not choice.is_for_source(study.cohorts.source):
        return False
    if choice.only_for == "two adapters":
        return model.task_method is not None and model.clinical_mode in ("frozen", "trainable")
    if choice.only_for == "decoder":
        return model.base is not None and find_family(study.bases[model.base].family).is_decoder
    return model.clinical is not None or not set(choice.stages) <= set(ADAPTER_STAGES)


def check_gaps(study: Study) -> None:
    """Refuse effects that the study cannot measure.

    Raises:
        ConfigError: `gaps` names a model, task or switch that the study does not run, or models that do not differ in
            what is measured.
    """
    gaps = study.gaps
    chosen = {"model": gaps.model}
    chosen |= {f"contamination.{key}": name for key, name in (gaps.contamination or ())}
    for key, name in chosen.items():
        if name is not None and name not in study.matrix.models:
            raise ConfigError(f"config: gaps.{key}: expected a model of matrix.models, found {name!r}")
    for task in gaps.tasks or ():
        if task not in study.matrix.tasks:
            raise ConfigError(f"config: gaps.tasks: expected tasks of matrix.tasks, found {task!r}")
    for switch in gaps.switches or ():
        if switch not in SWITCHES:
            known = ", ".join(SWITCHES)
            raise ConfigError(f"config: gaps.switches: {switch!r} is not a switch; expected one of {known}")
    if gaps.model is not None and study.protocol != "corrected":
        raise ConfigError("config: gaps.model: switches are turned on one by one on protocol corrected; found paper")
    if gaps.contamination is None:
        return
    source = find_source(study.cohorts.source)
    if study.contamination != "paper" or not source.has_carevue:
        divided = ", ".join(name for name, other in SOURCES.items() if other.has_carevue)
        raise ConfigError(
            f"config: gaps.contamination: needs tasks of {divided} and contamination paper, which leaves every corpus "
            f"open, found {source.name} and {study.contamination}"
        )
    if not study.matrix.tasks:
        raise ConfigError("config: matrix.tasks: gaps.contamination needs the tasks whose patients it leaves out")
    adapted = ("adapted", str(source.carevue_absent_from))
    for key, corpus in (adapted, *zip(("disjoint", "matched"), study.paired_corpora, strict=True)):
        _check_corpus(study, key, getattr(gaps.contamination, key), corpus)


def _check_corpus(study: Study, key: str, model: str, corpus: str) -> None:
    clinical = study.models[model].clinical
    found = study.adapters[clinical].corpus if clinical else "no clinical adapter"
    if found != corpus:
        raise ConfigError(
            f"config: gaps.contamination.{key}: expected a model whose clinical adapter is trained on {corpus}, found "
            f"{model!r} with {found}"
        )


def _ablation(study: Study, model: str, switch: str, task: str) -> Ablation:
    clinical = study.models[model].clinical
    stages: tuple[Stage, ...] = ("model", *ADAPTER_STAGES) if clinical else ("model",)
    name = _under(model, switch, *stages)
    cohort = _under(task, switch, "admission", "cohort") if study.table_of(task) is None else task
    return Ablation(switch, task, name, cohort, adapter_of_model(study, name))


def is_for_cohort(study: Study, switch: Switch, task: str) -> bool:
    """Whether a switch may change runs of a task; one of a hospital's notes and labels changes none of an own table."""
    own = study.table_of(task) is not None
    return switch.is_for_task(study.task_of(task)) and not (own and {*switch.stages} <= {"admission", "cohort"})

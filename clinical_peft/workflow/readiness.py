"""Everything that can be known of a study before its first job: its files, its bases, and this machine."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clinical_peft.config import experiments, notes_in_use
from clinical_peft.config.sections import GgufSource, HubSource, LocalSource
from clinical_peft.config.study import Study
from clinical_peft.errors import ClinicalPeftError
from clinical_peft.runtime.devices import CPU_BUILD, gpus, torch_build
from clinical_peft.workflow.cohorts import CohortFiles
from clinical_peft.workflow.named_files import missing_files, named_files
from clinical_peft.workflow.opened_study import OpenedStudy
from clinical_peft.workflow.plan import base_parameters, plan, size_in_words
from clinical_peft.workflow.study_inputs import base_path, check_base, input_problems

Level = Literal["ok", "note", "error"]
BYTES_OF = {"fp32": 4.0, "bf16": 2.0, "nf4": 0.6}
"""Bytes of a parameter by the precision of training."""
SLURM_COMMANDS = ("sbatch", "squeue", "sacct", "scancel")


@dataclass(frozen=True)
class Finding:
    """One line about a study.

    Attributes:
        level: `ok`, a `note` that stops nothing, or an `error` that would stop the run.
        place: Key of the study, or part of the machine.
        text: What was found.
    """

    level: Level
    place: str
    text: str


def check_study(opened: OpenedStudy, *, whole: bool = True) -> Iterator[Finding]:
    """Look at everything that a study will need, without writing anything.

    Args:
        opened: The study.
        whole: Whether to read own files from end to end; else their first rows.

    Yields:
        Findings, the cheap ones first.
    """
    study = opened.study
    yield from (Finding("note", "study", notice) for notice in opened.notices)
    yield from _machine(study, opened.results)
    yield from _bases(study)
    missing = missing_files(study)
    yield from (Finding("error", place, text) for place, text in missing.items())
    problems = _problems(study, opened.results)
    gone = {str(path) for place, path in named_files(study) if place in missing}
    others = [problem for problem in problems if not any(path in problem for path in gone)]
    yield from (Finding("error", "", problem) for problem in others)
    if not problems and not missing:
        yield from _hospital(study)
        yield from _own_files(study) if whole else ()


def _problems(study: Study, results: Path) -> list[str]:
    """What would stop the run before its first job, one line each."""
    problems = []
    try:
        notes_in_use.check_runnable(study)
    except ClinicalPeftError as error:
        problems.append(str(error))
    try:
        problems += input_problems(study, results, writes=False)
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); is its disk mounted?")
    there = _nearest(results)
    if not os.access(there, os.W_OK | os.X_OK):
        problems.append(f"{results}: {there} is not writable by this user; run in another folder")
    return problems


def _own_files(study: Study) -> Iterator[Finding]:
    """Own tables and files of notes, read from end to end."""
    # With pandas, which the start of a command does without.
    from clinical_peft.data.note_files import survey_note_file
    from clinical_peft.sources.table.survey import (
        check_classes,
        describe_classes,
        describe_rows,
        shown_count,
        survey_table,
    )

    files = CohortFiles(study)
    for name in files.tables_in_use:
        tasks = files.own_tasks_of(name)
        place = f"data.tables.{name}"
        try:
            survey = survey_table(files.own_table(name), tasks)
        except ClinicalPeftError as error:
            yield Finding("error", place, str(error))
            continue
        yield Finding("ok", place, describe_rows(survey))
        for task in tasks:
            try:
                check_classes(survey, task)
                yield Finding("ok", f"tasks.{task.name}", describe_classes(survey, task))
            except ClinicalPeftError as error:
                yield Finding("error", f"tasks.{task.name}", str(error))
    for corpus in experiments.corpora_in_use(study):
        if (entry := study.data.note_files.get(corpus)) is None:
            continue
        place = f"data.note_files.{corpus}"
        try:
            counts = survey_note_file(entry.path, **entry.columns)
        except ClinicalPeftError as error:
            yield Finding("error", place, str(error))
            continue
        dropped = counts["empty_dropped"] + counts["duplicates_dropped"]
        without = f", {shown_count(dropped)} of them empty or a repetition" if dropped else ""
        yield Finding("ok", place, f"{shown_count(counts['rows_read'])} notes with ids of their own{without}")


def _hospital(study: Study) -> Iterator[Finding]:
    """Tables of a hospital, of which header and first rows are as expected."""
    from clinical_peft.workflow.needed_tables import needed_tables

    names: dict[str, list[str]] = {}
    for need in needed_tables(study):
        if need.files():
            names.setdefault(f"data.{need.table.key}", []).append(need.table.name)
    for place, tables in names.items():
        yield Finding("ok", place, f"{', '.join(dict.fromkeys(tables))}: columns and first rows are as expected")
    if notes_in_use.reads_synthetic_notes(study):
        yield Finding("ok", "data", f"no folder is given: a synthetic hospital of size {study.synthetic.size} is made")


def _bases(study: Study) -> Iterator[Finding]:
    for name in experiments.bases_in_use(study):
        if (found := _base(study, name)) is not None:
            yield Finding(*found)


def _base(study: Study, name: str) -> tuple[Level, str, str] | None:
    """What is known of a base; nothing of one whose files are wrong, which the checks of the inputs say."""
    source, place = study.bases[name].source, f"bases.{name}"
    if isinstance(source, HubSource):
        is_there = _is_cached(source)
        if is_there:
            return "ok", place, f"{source.id}@{source.revision} is in the local cache, tokenizer included"
        if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("", "0", "false", "no"):
            return "error", place, f"{source.id}@{source.revision} is not in the local cache, and HF_HUB_OFFLINE is set"
        return (
            "note",
            place,
            f"{source.id}@{source.revision} is fetched by the first job; target prefetch does it alone",
        )
    if isinstance(source, LocalSource | GgufSource):
        try:
            check_base(source)
        except ClinicalPeftError:
            return None
        return "ok", place, f"{base_path(source)}: weights and tokenizer"
    return "ok", place, f"is trained here: about {base_parameters(study, name):,} parameters"


def _is_cached(source: HubSource) -> bool:
    """Whether configuration and tokenizer of a base lie in the cache of the Hub's library."""
    from huggingface_hub import try_to_load_from_cache

    names = ("config.json", "tokenizer_config.json")
    return all(isinstance(try_to_load_from_cache(source.id, name, revision=source.revision), str) for name in names)


def _machine(study: Study, results: Path) -> Iterator[Finding]:
    """GPUs, PyTorch, memory, disk and SLURM, beside what the study needs."""
    cards, build = gpus(), torch_build()
    for card in cards:
        text = f"{card.name}, {size_in_words(card.memory)}, of which {size_in_words(card.free)} are free"
        yield Finding("ok", "GPU", text)
    if build is None:
        yield Finding("error", "torch", "expected PyTorch, found none; `make install` brings it")
    elif cards and build.accelerator == CPU_BUILD:
        text = f"{build.version} is a build for CPUs, so the GPU stays idle; install one for CUDA (docs/cluster.md)"
        yield Finding("note", "torch", text)
    else:
        yield Finding("ok", "torch", f"{build.version}, built for {build.accelerator}")
    memory = max((card.memory for card in cards), default=0)
    if not cards:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield Finding("ok", "GPU", f"none: {os.cpu_count()} CPU cores and {size_in_words(memory)} of memory compute")
    yield from _fit(study, memory)
    yield _disk(study, results)
    found = [name for name in SLURM_COMMANDS if shutil.which(name)]
    missing = [name for name in SLURM_COMMANDS if name not in found]
    here = "its commands are here" if not missing else f"no {', '.join(missing)} here; profiles/slurm needs them"
    yield Finding("ok", "SLURM", here)


def _fit(study: Study, memory: int) -> Iterator[Finding]:
    """Bases whose weights alone are larger than the memory that computes."""
    precision = str(study.pretraining.get("precision", "fp32"))
    for name in experiments.bases_in_use(study):
        size = BYTES_OF.get(precision, BYTES_OF["fp32"]) * base_parameters(study, name)
        if size > memory:
            found = f"{size_in_words(size)} of weights in {precision}, and {size_in_words(memory)} of memory"
            yield Finding("note", f"bases.{name}", f"{found}; set pretraining.precision to bf16 or nf4, or use another")


def _disk(study: Study, results: Path) -> Finding:
    needed = sum(stage.disk_bytes for stage in plan(study))
    free = shutil.disk_usage(_nearest(results)).free
    text = f"{size_in_words(free)} free, about {size_in_words(needed)} planned below {results}"
    return Finding("ok" if free > needed else "error", "disk", text)


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    absolute = path.absolute()
    return next(each for each in (absolute, *absolute.parents) if each.exists())


def report_findings(findings: Iterator[Finding], say: Callable[[str], None]) -> list[str]:
    """Say what was found as it is found.

    Args:
        findings: What `check_study` yields.
        say: Prints a line.

    Returns:
        The errors, one line each.
    """
    errors = []
    for finding in findings:
        if finding.level == "error":
            errors.append(f"{finding.place}: {finding.text}" if finding.place else finding.text)
        else:
            say(f"{finding.level:<5} {finding.place:<24} {finding.text}")
    return errors

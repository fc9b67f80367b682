"""What a study names, checked before its first job: its files by their first rows, and folders by writing to them.

A wrong column would show only when its job runs, which may be hours after the start. Whether a file is there at all,
the workflow knows from its inputs. On a cluster the check is the controller's: a file that compute nodes alone can see
counts as missing.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clinical_peft.config.experiments import (
    corpora_in_use,
    general_corpus,
    real_bases_in_use,
)
from clinical_peft.config.generated import is_generated
from clinical_peft.config.sections import GgufSource, HubSource, LocalSource, Source
from clinical_peft.config.selected_adapters import adapters_on_notes, external_adapters_in_use
from clinical_peft.config.study import Study
from clinical_peft.errors import ClinicalPeftError, DataError
from clinical_peft.files import require_writable
from clinical_peft.models.adapter_sources import check_adapter_folder, method_of_adapter, refuse_stated_base
from clinical_peft.models.base_sources import check_base_folder, check_gguf_file, package_folder
from clinical_peft.recipes.classifier_adapters import refuse_clinical, refuse_task

Check = Callable[[], Any]


def check_inputs(
    study: Study, root: Path, *, reads: Collection[str] | None = None, bases: Collection[str] | None = None
) -> None:
    """Check everything that the jobs of a study will read, and where they will write.

    Args:
        study: The study.
        root: Folder of its results; it is created.
        reads: Files that are going to be read; None for all that the matrix asks for.
        bases: Bases that are going to be imported; None for all that the matrix asks for.

    Raises:
        DataError: Something is missing, unreadable or of another form; one line for each.
    """
    if problems := input_problems(study, root, reads=reads, bases=bases):
        raise DataError("\n".join(problems))


def input_problems(
    study: Study,
    root: Path,
    *,
    reads: Collection[str] | None = None,
    bases: Collection[str] | None = None,
    writes: bool = True,
) -> list[str]:
    """List what is wrong with what the jobs of a study will read, one line each.

    Args:
        study: The study.
        root: Folder of its results.
        reads: As for `check_inputs`.
        bases: As for `check_inputs`.
        writes: Whether to try writing into the folders of results and of the MLflow store, which creates them.
    """
    problems: list[str] = []
    checks: list[Check] = [partial(require_writable, root, inside=True), partial(_check_store, study)] if writes else []
    for base in real_bases_in_use(study) if bases is None else sorted(bases):
        checks.append(partial(_named, f"bases.{base}", partial(check_base, study.bases[base].source)))
    for name in external_adapters_in_use(study):
        checks.append(partial(_named, f"adapters.{name}.path", partial(_check_adapter, study, name)))
    for check in chain(checks, _file_checks(study, root, reads)):
        try:
            check()
        except ClinicalPeftError as error:
            if str(error) not in problems:
                problems.append(str(error))
    return problems


def base_path(source: LocalSource | GgufSource) -> Path:
    """Return where a base on this machine lies, in an installed package or elsewhere.

    Raises:
        DataError: The package is not installed.
    """
    return source.path if source.package is None else package_folder(source.package) / source.path


def check_base(source: Source) -> None:
    """Check the files of a base that lies on this machine; one that is trained here or fetched has none yet.

    Raises:
        DataError: A file is missing, cut short or of another form, a tokenizer included.
    """
    if isinstance(source, GgufSource):
        check_gguf_file(base_path(source))
    elif isinstance(source, LocalSource):
        check_base_folder(base_path(source))


def _check_adapter(study: Study, name: str) -> None:
    """Check an adapter that exists already, and that the models which use it can."""
    entry = study.adapters[name]
    assert entry.path is not None
    config = check_adapter_folder(entry.path)
    source = study.bases[entry.base].source
    if isinstance(source, HubSource) and (refusal := refuse_stated_base(config, source.id)):
        raise DataError(f"{entry.path}: {refusal}; correct base or path")
    method = method_of_adapter(entry.path)
    for key in study.matrix.models:
        model = study.models[key]
        if model.clinical != name:
            continue
        task = study.methods[model.task_method].settings if model.task_method else None
        found = refuse_clinical(method, model.clinical_mode, task_adapter=task is not None, kind=method.type)
        if found is None and task is not None:
            family = study.bases[entry.base].family
            same_type = None if task.type == method.type else method
            found = refuse_task(task, model.clinical_mode, family=family, clinical=same_type)
        if found:
            raise DataError(f"{entry.path}: models.{key}: {found}")


def _check_store(study: Study) -> None:
    """Check that an MLflow store in a file can be written; a server's address is left alone."""
    parts = urlsplit(study.tracking.uri or "")
    if parts.scheme in ("sqlite", "file"):
        # sqlite:////absolute, sqlite:///relative, file:///absolute
        path = Path(parts.path.removeprefix("/") if parts.scheme == "sqlite" else parts.path)
        require_writable(path.parent if parts.scheme == "sqlite" else path)


def _file_checks(study: Study, root: Path, reads: Collection[str] | None) -> Iterator[Check]:
    """Checks of the files that are read, whose readers bring libraries that the start of a run need not wait for."""
    from clinical_peft.data.cohort_files import check_cohort
    from clinical_peft.data.splits import LIST_FILES, read_split_lists
    from clinical_peft.data.tables import INTEGER
    from clinical_peft.sources.mimic_iii.beep_labels import read_beep_labels
    from clinical_peft.sources.mimic_iv.codes import read_icd_map
    from clinical_peft.sources.table.checks import check_label_file, check_table_file
    from clinical_peft.workflow.cohorts import CohortFiles
    from clinical_peft.workflow.needed_tables import check_table, needed_tables

    def is_read(path: Path | None) -> bool:
        return path is not None and not is_generated(path) and (reads is None or str(path) in reads)

    files = CohortFiles(study)
    for table in files.tables_in_use:
        spec = files.own_table(table)
        if any(map(is_read, spec.files)):
            check = partial(check_table_file, spec, files.own_tasks_of(table))
            yield partial(_named, f"data.tables.{table}", check)
    for name, task in study.own_tasks.items():
        if task.label_file is not None and is_read(Path(task.label_file)):
            yield partial(_named, f"tasks.{name}.labels", partial(check_label_file, task))
    for need in needed_tables(study):
        if reads is None or any(map(is_read, need.files())):
            yield need.check
    yield from _note_file_checks(study, is_read)
    data, cohorts = study.data, study.cohorts
    if isinstance(data.splits, Path) and is_read(data.splits / LIST_FILES["train"]):
        yield partial(read_split_lists, data.splits)
    if data.pmv_labels is not None and is_read(data.pmv_labels):
        yield partial(read_beep_labels, data.pmv_labels)
    if cohorts.icd_map is not None and is_read(cohorts.icd_map):
        yield partial(read_icd_map, cohorts.icd_map)
    if data.carevue_patients is not None and is_read(data.carevue_patients):
        yield partial(check_table, data.carevue_patients, {"SUBJECT_ID": INTEGER})
    for path in (root / "cohorts" / f"{task}.parquet" for task in study.matrix.tasks):
        if path.exists() and is_read(path):
            yield partial(check_cohort, path)


def _note_file_checks(study: Study, is_read: Callable[[Path], bool]) -> Iterator[Check]:
    from clinical_peft.data.note_files import check_note_file

    general = (general_corpus(study, study.adapters[name].base) for name in adapters_on_notes(study))
    for corpus in dict.fromkeys([*corpora_in_use(study), *general]):
        if corpus in study.data.note_files and is_read(study.data.note_files[corpus].path):
            entry = study.data.note_files[corpus]
            yield partial(_named, f"data.note_files.{corpus}", partial(check_note_file, entry.path, **entry.columns))


def _named(key: str, check: Check) -> None:
    """Check, and name the key of the study in what is found wrong."""
    try:
        check()
    except DataError as error:
        raise DataError(f"{key}: {error}") from None

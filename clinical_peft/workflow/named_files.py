"""Files and folders that a study names, and which of them are not there, with a word on disks that are not mounted."""

from collections.abc import Iterator
from pathlib import Path

from clinical_peft.config import experiments
from clinical_peft.config.notes_in_use import tables_in_use
from clinical_peft.config.sections import LocalSource
from clinical_peft.config.selected_adapters import external_adapters_in_use
from clinical_peft.config.study import Study
from clinical_peft.errors import DataError
from clinical_peft.sources import data_folders
from clinical_peft.workflow.own_tables import spec_of


def named_files(study: Study) -> Iterator[tuple[str, Path]]:
    """Yield the key and the path of every file and folder of the user's that a selected job reads."""
    for key in data_folders():
        if (tables := study.data.folder(key)) is not None:
            yield f"data.{key}", tables
    for name in tables_in_use(study):
        spec = spec_of(name, study.data.tables[name])
        for path in (*spec.files, *spec.split.lists.values()):
            yield f"data.tables.{name}", path
    for corpus in experiments.corpora_in_use(study):
        if corpus in study.data.note_files:
            yield f"data.note_files.{corpus}", study.data.note_files[corpus].path
    for task in study.tasks_in_order:
        own = study.own_tasks.get(task.name)
        if own is not None and own.label_file is not None:
            yield f"tasks.{task.name}.labels", Path(own.label_file)
    for name in experiments.bases_in_use(study):
        source = study.bases[name].source
        if isinstance(source, LocalSource) and source.package is None:
            yield f"bases.{name}.source.path", source.path
    for name in external_adapters_in_use(study):
        folder = study.adapters[name].path
        assert folder is not None
        yield f"adapters.{name}.path", folder


def missing_files(study: Study) -> dict[str, str]:
    """Describe the files and folders that are not there or cannot be looked at, one line by key of the study."""
    found = {}
    for place, path in named_files(study):
        try:
            if not path.exists():
                found[place] = f"{path}: expected a file or folder, found none; {_remedy(path)}"
        except OSError as error:
            found[place] = f"{path}: cannot be read ({error.strerror}); is its disk mounted?"
    return found


def require_files(study: Study) -> None:
    """Refuse a study whose files are not there.

    Raises:
        DataError: One line for each file or folder that is missing.
    """
    if missing := missing_files(study):
        raise DataError("\n".join(f"{place}: {text}" for place, text in missing.items()))


def _remedy(path: Path) -> str:
    """What to do about a path that is not there: mount its disk, or correct it."""
    parent = path.parent
    if not parent.exists():
        above = [each for each in reversed(path.parents) if not each.exists()]
        return f"{above[0]} is not there either: mount its disk, or correct the path"
    is_empty = parent.is_dir() and next(parent.iterdir(), None) is None
    return f"{parent} is empty: mount its disk, or correct the path" if is_empty else "correct the path"

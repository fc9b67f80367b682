"""Whether the synthetic hospital writes the files that a study reads of it.

A study that extends the demo may have another hospital, without these files. What it inherits of the demo's matrix is
then dropped where it reads them; what it lists itself is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from clinical_peft.config.experiments import corpora_in_use
from clinical_peft.config.generated import HOSPITAL, in_hospital, is_generated
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.synthetic.sizes import SIZES


def check_generated_files(study: Study) -> None:
    """Refuse a study whose jobs read a file of the synthetic hospital that this hospital does not write.

    Raises:
        ConfigError: The study reads real tables instead, or the hospital's size has no such file.
    """
    tasks, corpora = set(study.matrix.tasks), set(corpora_in_use(study))
    for section, name, path in _unwritten(study):
        if name not in (tasks if section == "tasks" else corpora):
            continue
        if section == "tasks":
            place, remedy = f"tasks.{name}.labels", f"drop {name} from matrix.tasks"
        else:
            place = f"data.note_files.{name}.path"
            remedy = f"drop the adapters and models on corpus {name} from the matrix"
        if not study.data.synthetic:
            raise ConfigError(
                f"config: {place}: {path} is of the synthetic hospital, but the study reads real tables; {remedy}"
            )
        if section == "tasks" and study.own_tasks[name].on != study.cohorts.source:
            raise ConfigError(
                f"config: tasks.{name}.on: expected cohorts.source, {study.cohorts.source}, whose notes are read, "
                f"found {study.own_tasks[name].on}; set one to the other, or {remedy}"
            )
        written = SIZES[study.synthetic.size].files
        known = ", ".join(f"{HOSPITAL}/{each}" for each in written) or "none"
        able = ", ".join(size for size, numbers in SIZES.items() if in_hospital(path) in numbers.files)
        hint = f"set synthetic.size to {able}, or {remedy}" if able else remedy
        raise ConfigError(
            f"config: {place}: expected a file that a synthetic hospital of size {study.synthetic.size} writes "
            f"({known}), found {path}; {hint}"
        )


def inherited_in_vain(study: Study, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name what the matrix inherits and cannot run, since this hospital does not write the files that it reads.

    Args:
        study: The whole study.
        given: What the user's files and the command line say.

    Returns:
        Names by list of the matrix; lists that the user gives, and those without such names, are absent.
    """
    unwritten = list(_unwritten(study))
    corpora = {name for section, name, _ in unwritten if section == "note_files"}
    adapters = [name for name, entry in study.adapters.items() if entry.path is None and entry.corpus in corpora]
    found = {
        "tasks": [name for section, name, _ in unwritten if section == "tasks"],
        "adapters": adapters,
        "models": [name for name, entry in study.models.items() if entry.clinical in adapters],
    }
    own = given.get("matrix")
    listed = own if isinstance(own, Mapping) else {}
    return {key: names for key, names in found.items() if names and key not in listed}


def _unwritten(study: Study) -> Iterator[tuple[str, str, str]]:
    """Section, name and path of each file of the synthetic hospital that the study names and the hospital lacks."""
    written = SIZES[study.synthetic.size].files if study.data.synthetic else ()
    for name, task in study.own_tasks.items():
        path = task.label_file
        if path is None or not is_generated(path):
            continue
        if in_hospital(path) not in written or task.on != study.cohorts.source:
            yield "tasks", name, path
    for name, entry in study.data.note_files.items():
        if is_generated(entry.path) and in_hospital(entry.path) not in written:
            yield "note_files", name, str(entry.path)

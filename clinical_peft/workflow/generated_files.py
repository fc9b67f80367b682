"""Check that the synthetic hospital writes the files that a study reads of it."""

from collections.abc import Iterator

from clinical_peft.config.experiments import corpora_in_use
from clinical_peft.config.generated import HOSPITAL, in_hospital, is_generated
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.synthetic.sizes import SIZES
from clinical_peft.tasks import OwnTask


def check_generated_files(study: Study) -> None:
    """Refuse a study whose jobs read a file of the synthetic hospital that this hospital does not write.

    Raises:
        ConfigError: The study reads real tables instead, or the hospital's size has no such file.
    """
    for place, path, remedy in _files_in_use(study):
        if not study.data.synthetic:
            raise ConfigError(
                f"config: {place}: {path} is of the synthetic hospital, but the study reads real tables; {remedy}"
            )
        written = SIZES[study.synthetic.size].files
        if in_hospital(path) not in written:
            known = ", ".join(f"{HOSPITAL}/{name}" for name in written) or "none"
            able = ", ".join(name for name, size in SIZES.items() if in_hospital(path) in size.files)
            hint = f"set synthetic.size to {able}, or {remedy}" if able else remedy
            raise ConfigError(
                f"config: {place}: expected a file that a synthetic hospital of size {study.synthetic.size} writes "
                f"({known}), found {path}; {hint}"
            )


def _files_in_use(study: Study) -> Iterator[tuple[str, str, str]]:
    """Key, path and remedy of each file of the synthetic hospital that a selected job reads."""
    for name in study.matrix.tasks:
        task = study.task_of(name)
        if isinstance(task, OwnTask) and task.label_file is not None and is_generated(task.label_file):
            yield f"tasks.{name}.labels", task.label_file, f"drop {name} from matrix.tasks"
    for corpus in corpora_in_use(study):
        entry = study.data.note_files.get(corpus)
        if entry is not None and is_generated(entry.path):
            remedy = f"drop the adapters and models on corpus {corpus} from the matrix"
            yield f"data.note_files.{corpus}.path", str(entry.path), remedy

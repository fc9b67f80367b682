"""Whose notes a study reads: a hospital's, MIMIC's or the synthetic one, or a user's own files."""

from clinical_peft.config.experiments import adapters_in_use, corpora_in_use, real_bases_in_use, runs_in_use
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.sources import Source, find_source, hospital_corpora, sources_of_corpus


def reads_synthetic_notes(study: Study) -> bool:
    """Whether any selected job reads notes or cohorts of the synthetic hospital."""
    return study.data.synthetic and reads_hospital(study)


def reads_hospital(study: Study) -> bool:
    """Whether any selected job reads a hospital's tables, MIMIC's or synthetic ones; else all notes are of files."""
    of_files = {*study.data.files_of_notes}
    predicts = bool(study.matrix.models and study.hospital_tasks)
    return predicts or any(corpus not in of_files for corpus in corpora_in_use(study))


def tables_in_use(study: Study) -> list[str]:
    """Own tables that a selected task or adapter reads, each once and in the study's order."""
    used = {*corpora_in_use(study), *(study.table_of(task) for task in study.matrix.tasks)}
    return [name for name in study.data.tables if name in used]


def all_adapters_of_synthetic_notes(study: Study) -> bool:
    """Whether no adapter in use learns from real notes: a study of synthetic cohorts may read a file of notes too."""
    of_files = {*study.data.files_of_notes}
    return study.data.synthetic and not any(study.adapters[name].corpus in of_files for name in adapters_in_use(study))


def check_runnable(study: Study) -> None:
    """Refuse what may be planned but not run.

    Raises:
        ConfigError: Real weights would be trained on synthetic notes without `data.synthetic_for_real_bases`, or the
            synthetic hospital would be asked for tables that it does not have.
    """
    folders = _folders_in_use(study)
    for source in folders.values():
        if reads_synthetic_notes(study) and not source.is_synthesised:
            given = " and ".join(f"data.{key}" for key in source.folders)
            raise ConfigError(f"config: the synthetic hospital has no tables of {source.title}; give {given}")
    real = real_bases_in_use(study)
    if real and reads_synthetic_notes(study) and not study.data.synthetic_for_real_bases:
        raise ConfigError(
            f"config: study {study.study!r} would train real weights ({', '.join(real)}) on synthetic notes; give the "
            f"folders {', '.join(f'data.{key}' for key in folders)}, or set data.synthetic_for_real_bases to true"
        )


def _folders_in_use(study: Study) -> dict[str, Source]:
    """Folders that the selected jobs read, or would if tables were given, by key of section `data`."""
    source = find_source(study.cohorts.source)
    runs = [task for _, task in runs_in_use(study) if study.table_of(task) is None]
    folders = {source.key: source, source.note_key: source} if runs else {}
    for corpus in corpora_in_use(study):
        if corpus in hospital_corpora():
            folders |= {source.note_key: source for source in sources_of_corpus(corpus)}
    return folders

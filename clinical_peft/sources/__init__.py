"""Kinds of hospital, one package each: a package in this folder that defines `SOURCE` is a source of every study.

Package `table` defines none: its hospitals are the tables that a study describes.
"""

from importlib import import_module
from pkgutil import iter_modules

from clinical_peft.errors import ConfigError
from clinical_peft.sources.source import AdmissionRequest, NoteTable, OutcomeFiles, Source, Table

__all__ = [
    "COMBINED",
    "SOURCES",
    "AdmissionRequest",
    "NoteTable",
    "OutcomeFiles",
    "Source",
    "Table",
    "data_folders",
    "find_source",
    "hospital_corpora",
    "read_sources",
    "sources_of_corpus",
]

COMBINED = {"combined": ("mimic-iii", "mimic-iv")}
"""Corpora of the notes of several sources, in their order: the paper's one of both."""


def read_sources() -> dict[str, Source]:
    """Import every package in this folder and return their sources by name.

    Raises:
        ConfigError: A source is incomplete, or two share a name.
    """
    sources: dict[str, Source] = {}
    for module in iter_modules(__path__):
        place = f"clinical_peft/sources/{module.name}"
        try:
            found = import_module(f"{__name__}.{module.name}")
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{place}: {error}") from None
        source: Source | None = getattr(found, "SOURCE", None)
        if module.ispkg and not hasattr(found, "SOURCE"):
            raise ConfigError(f"{place}: expected SOURCE, found none; declare it or move the package")
        if source is not None and sources.setdefault(source.name, source) is not source:
            raise ConfigError(f"{place}: a second source is called {source.name}; rename one")
    return sources


SOURCES = read_sources()


def find_source(name: str) -> Source:
    """Return a source by its name.

    Raises:
        ConfigError: There is no such source.
    """
    if name not in SOURCES:
        raise ConfigError(f"cohorts.source: expected one of {', '.join(SOURCES)}, found {name}")
    return SOURCES[name]


def hospital_corpora() -> tuple[str, ...]:
    """Names of the corpora of a hospital's notes: one of each source, and those of several."""
    return (*SOURCES, *COMBINED)


def sources_of_corpus(corpus: str) -> tuple[Source, ...]:
    """Return the sources whose notes a corpus holds, in its order.

    Raises:
        ConfigError: It is no corpus of a hospital's notes.
    """
    if corpus not in hospital_corpora():
        raise ConfigError(f"corpus: expected one of {', '.join(hospital_corpora())}, found {corpus}")
    return tuple(find_source(name) for name in COMBINED.get(corpus, (corpus,)))


def data_folders() -> dict[str, str]:
    """Keys of a study's section `data` that name folders of tables, each with its description."""
    return {key: description for source in SOURCES.values() for key, description in source.folders.items()}

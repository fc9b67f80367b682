"""What the parts of `StudyFiles` share: the study, its folder of results, and look-ups that refuse unknown names."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Protocol, TypeVar

from clinical_peft.config import experiments
from clinical_peft.config.ablations import plain
from clinical_peft.config.sections import Adapter, Base, Model, NoteFile
from clinical_peft.config.selected_adapters import adapters_on_notes
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError

Entry = TypeVar("Entry")
Files = str | list[str]
"""Paths of a rule's input: one, or any number."""


class Wildcards(Protocol):
    """The wildcards of a job, as attributes; each value is a string."""

    def __getattr__(self, name: str) -> str:
        """Return a wildcard's value."""
        ...


class WildcardValues:
    """Wildcards with given values, to ask without a workflow."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def __getattr__(self, name: str) -> str:
        """Return a wildcard's value.

        Raises:
            AttributeError: It has none.
        """
        if name.startswith("_") or name not in self._values:
            raise AttributeError(name)
        return self._values[name]


class StudyFolder:
    """A study and the folder of its results.

    Args:
        study: The validated study.

    Attributes:
        study: The study.
        root: Folder of its results, relative to the working directory.
        hospital: Folder of the synthetic hospital, which a study of real tables does not have.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.root = f"results/{study.study}"
        self.hospital = f"{self.root}/hospital"

    def paths(self, pattern: str, names: Iterable[str]) -> list[str]:
        """Return a path below the root for each name.

        Args:
            pattern: Path below the root, with `{}` in place of the name.
            names: The names.
        """
        return [f"{self.root}/{pattern.format(name)}" for name in names]

    def work(self, pattern: str) -> str:
        """Return a folder for temporary files and checkpoints.

        Args:
            pattern: Path below the folder of all of them; it may hold wildcards.
        """
        return f"{self.root}/work/{pattern}"

    @cached_property
    def adapters_in_use(self) -> list[str]:
        """Names of the adapters that the study trains."""
        return experiments.adapters_in_use(self.study)

    @cached_property
    def adapters_on_notes(self) -> list[str]:
        """Names of the adapters whose perplexity is measured: those, and some that exist already."""
        return adapters_on_notes(self.study)

    @cached_property
    def corpora_in_use(self) -> list[str]:
        """Names of the corpora that they are trained or measured on."""
        return experiments.corpora_in_use(self.study)

    def base(self, name: str) -> Base:
        """Return a base of the registry.

        Raises:
            ConfigError: There is no such base.
        """
        return self._entry("base", name, self.study.bases)

    def adapter(self, name: str) -> Adapter:
        """Return an adapter of the registry, whose name may carry a switch.

        Raises:
            ConfigError: There is no such adapter.
        """
        return self._entry("adapter", plain(name), self.study.adapters)

    def model(self, name: str) -> Model:
        """Return a model of the registry, whose name may carry a switch.

        Raises:
            ConfigError: There is no such model.
        """
        return self._entry("model", plain(name), self.study.models)

    def note_file_entry(self, corpus: str) -> NoteFile:
        """Return a corpus that the study reads from a file of notes.

        Raises:
            ConfigError: There is no such corpus.
        """
        return self._entry("corpus of data.note_files", corpus, self.study.data.note_files)

    def _entry(self, kind: str, name: str, registry: Mapping[str, Entry]) -> Entry:
        if name not in registry:
            known = ", ".join(registry) or "none"
            raise ConfigError(f"study {self.study.study}: {kind}: expected one of {known}, found {name}")
        return registry[name]

"""A study's file as its user wrote it: read with one line for whatever is wrong with it, and compared with its matrix.

Snakemake reads the files of `--configfile` itself, before the Snakefile, and shows a traceback for a file that is not
there. The profiles therefore call `check_command_line` when Snakemake reads them, which is earlier.
"""

import json
import re
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from clinical_peft.errors import ConfigError
from clinical_peft.runtime.signals import interrupt_in_one_line

if TYPE_CHECKING:
    from clinical_peft.config.study import Study

OPTIONS = ("--configfile", "--configfiles")
SUFFIXES = (".yaml", ".yml", ".json")
DEFAULT = "config/config.yaml"


def check_command_line(arguments: Sequence[str]) -> None:
    """Read the study files of a Snakemake command, and end the process with one line if one cannot be read.

    From here on, an interrupt from the keyboard is one line too.

    Args:
        arguments: The command's arguments.

    Raises:
        SystemExit: With code 1 and after that line.
    """
    interrupt_in_one_line()
    try:
        for path in files_of_command(arguments):
            read_study_file(path)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def files_of_command(arguments: Sequence[str]) -> list[Path]:
    """Return what Snakemake takes for files of `--configfile`: everything up to the next option."""
    found: list[Path] = []
    follows = False
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument.startswith("-"):
            follows = argument in OPTIONS
            found += [Path(value)] if equals and option in OPTIONS else []
        elif follows:
            found.append(Path(argument))
    return found


def read_study_file(path: Path) -> dict[str, Any]:
    """Read a study's YAML or JSON.

    Args:
        path: The file.

    Raises:
        ConfigError: The file is missing, a pipe, empty, not UTF-8, no YAML, names a key twice, or holds no mapping.
    """
    path = Path(path)
    if not path.exists():
        targets = "" if path.suffix in SUFFIXES else "; put targets before --configfile, which takes all that follows"
        raise ConfigError(f"{path}: expected a study file, found none{targets}")
    if path.is_dir():
        raise ConfigError(f"{path}: expected a study file, found a folder")
    if not path.is_file():
        raise ConfigError(
            f"{path}: expected a file, found a pipe or device, which can be read only once; save it first"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"found other bytes at byte {error.start}"
        raise ConfigError(f"{path}: expected UTF-8 text, {found}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    content = _parsed(path, text)
    if content is None:
        raise ConfigError(f"{path}: the file is empty; it needs at least `study: NAME`")
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys at top level, such as `study: NAME`, found a {_kind(content)}")
    return content


def _parsed(path: Path, text: str) -> Any:
    """Parse JSON, or else YAML, as Snakemake does."""
    try:
        return json.loads(text, object_pairs_hook=partial(_without_repeated, path))
    except ValueError:
        pass
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        tabbed = mark is not None and "\t" in "".join(text.split("\n")[mark.line : mark.line + 1])
        problem = "found a tab; indent with spaces" if tabbed else error.problem or "found something else"
        raise ConfigError(f"{path}: {where}expected YAML, {problem}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{path}: expected YAML, found a character that YAML does not allow") from None


def _without_repeated(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON, of whose equal keys Python's own reader would silently take the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ConfigError(f"{path}: expected each key once, found the key {repeated!r} twice")
    return content


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else "text" if isinstance(value, str) else type(value).__name__


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice, of which YAML's own would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) and key_node.value != "<<" else None
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"found the key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def unused_entries(study: "Study", written: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name what a user's file defines and the study's matrix leaves out.

    Args:
        study: The whole study.
        written: What the user's file says.

    Returns:
        Names by registry, in the file's order; registries without any are absent.
    """
    from clinical_peft.config import experiments, notes_in_use
    from clinical_peft.config.selected_adapters import external_adapters_in_use

    adapters, runs = experiments.adapters_in_use(study), experiments.runs_in_use(study)
    models = dict.fromkeys(model for model, _ in runs)
    methods = {study.adapters[name].method for name in adapters} | {study.models[name].task_method for name in models}
    general = {experiments.general_corpus(study, study.adapters[name].base) for name in adapters}
    searches = experiments.searches_in_use(study)
    used: dict[str, set[str | None]] = {
        "data.note_files": {*experiments.corpora_in_use(study), *general},
        "data.tables": {*notes_in_use.tables_in_use(study)},
        "bases": {*experiments.bases_in_use(study)},
        "methods": {*methods},
        "adapters": {*adapters, *external_adapters_in_use(study)},
        "models": {*models},
        "tasks": {*study.matrix.tasks},
        "search.models": {path.rpartition("/")[0] for path in searches},
        "search.adapters": {path.removeprefix("adapters/") for path in searches},
    }
    found = {place: [name for name in _entries(written, place) if name not in names] for place, names in used.items()}
    return {place: names for place, names in found.items() if names}


def _entries(written: Mapping[str, Any], place: str) -> Iterator[str]:
    value: Any = written
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    yield from map(str, value) if isinstance(value, Mapping) else ()


def load_study(config: Mapping[str, Any], paths: Sequence[Path], given: Mapping[str, Any] | None = None) -> "Study":
    """Validate a configuration that was read from users' files.

    Args:
        config: The whole configuration, the default and values of the command line included.
        paths: The users' files, in the order in which one overrides another.
        given: What these files and the command line say together, without the default; None if it is the files alone.

    Returns:
        The study: of `config`, or of `given` alone where that says `extends: none`.

    Raises:
        ConfigError: See `clinical_peft.config.experiments.load_study`; the message names the file whose value it is
            about, if it is one of those, and says of an inherited value that it is one.
    """
    from clinical_peft.config import experiments
    from clinical_peft.config.layers import deep_merge

    if given is None:
        given = deep_merge(*map(read_study_file, paths))
    whole = given if given.get("extends") == "none" else config
    try:
        return experiments.load_study(whole)
    except ConfigError as error:
        raise ConfigError(_name_file(str(error), whole, paths, given)) from None


_PROBLEM = re.compile(r"config: (?P<about>(?:unknown key |missing key )?(?P<key>[\w.@+-]+))")


def _name_file(message: str, config: Mapping[str, Any], paths: Sequence[Path], given: Mapping[str, Any]) -> str:
    """Put the file that sets a message's first key in place of `config:`, and say of an inherited one that it is."""
    found = _PROBLEM.match(message)
    if found is None:
        return message
    keys = found["key"].split(".")
    if found["about"].startswith("missing"):
        keys = keys[:-1]
    for path in reversed(paths):
        if _sets(read_study_file(path), config, keys):
            return f"{path}: {message.removeprefix('config: ')}"
    if given and keys and _sets(config, config, keys) and not _sets(given, config, keys):
        return f"{message} ({_inherited(given, keys)})"
    return message


def _inherited(given: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Say that a value is inherited, and what to do about it.

    Args:
        given: What the user's files and the command line say together.
        keys: The value's keys. Names may hold dots.
    """
    section, place = given.get(keys[0]), ".".join(keys[1:])
    entries = section if isinstance(section, Mapping) else {}
    for name in entries:
        if place.startswith(f"{name}."):
            return (
                f"{keys[0]}.{name} keeps what {DEFAULT} sets in the entry of that name; give yours another name, or "
                "set extends: none"
            )
    return f"{keys[0]} is inherited from {DEFAULT}; set extends: none, or override it"


def _sets(written: Any, whole: Any, keys: Sequence[str]) -> bool:
    """Whether a file gives a key the value that it has in the whole configuration.

    Args:
        written: The file's content, or a part of it.
        whole: The same part of the configuration.
        keys: The key's parts below it. Names may hold dots.
    """
    if not keys or not isinstance(written, Mapping) or not isinstance(whole, Mapping):
        return isinstance(written, Mapping) or written == whole
    for count in range(1, len(keys) + 1):
        name = ".".join(keys[:count])
        if name in written and name in whole:
            return _sets(written[name], whole[name], keys[count:])
    return False


def notices(study: "Study", paths: Sequence[Path], given: Mapping[str, Any]) -> list[str]:
    """Describe what users' files define and the matrix leaves out, and where results go if the user names no study.

    Args:
        study: The whole study.
        paths: The users' files, not the default.
        given: What these files and the command line say together.

    Returns:
        One line each.

    Raises:
        ConfigError: See `read_study_file`.
    """
    from clinical_peft.config import experiments
    from clinical_peft.config.study import renamed_keys

    lines = []
    if given and "study" not in given:
        names = ", ".join(path.name for path in paths) or "--config"
        lines.append(
            f"{names}: no key study, so results go to results/{study.study}, the default study's folder; add "
            "`study: NAME` for a folder of their own"
        )
    for path in paths:
        written = read_study_file(path)
        lines += [f"{path.name}: {line}" for line in renamed_keys(written)]
        unused = unused_entries(study, written)
        if unused:
            listed = "; ".join(f"{place} {', '.join(entries)}" for place, entries in unused.items())
            lines.append(f"{path.name}: defined, but not in the matrix, so not run: {listed}")
    if study.matrix.smaller_sizes and not experiments.runs_in_use(study):
        lines.append("matrix.train_sizes: the matrix selects no model on any task, so none is trained on a part")
    return lines

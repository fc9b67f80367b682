"""Reading the modules of a package that each declare a table or a figure."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from clinical_peft.errors import ConfigError
from clinical_peft.tables.sections import SECTIONS
from clinical_peft.tables.study_results import RESULTS


def check_declared(what: str, section: str, needs: Iterable[str]) -> None:
    """Refuse a table or figure that names a section or a result that does not exist.

    Raises:
        ValueError: It does.
    """
    for kind, named, known in (("section", [section], list(SECTIONS)), ("result", needs, RESULTS)):
        for name in named:
            if name not in known:
                raise ValueError(f"{kind} of {what}: expected one of {', '.join(known)}, found {name}")


def read_declared(package: ModuleType, attribute: str) -> dict[str, Any]:
    """What the modules of a package declare, by name, in the order of the report.

    Args:
        package: The package.
        attribute: Name of the declaration in each module.

    Raises:
        ConfigError: A module declares nothing, or something incomplete, or what another declares.
    """
    found: dict[str, Any] = {}
    for module in iter_modules(package.__path__):
        name = f"{package.__name__}.{module.name}"
        place = f"{name.replace('.', '/')}.py"
        try:
            declared = getattr(import_module(name), attribute, None)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{place}: {error}") from None
        if declared is None:
            raise ConfigError(f"{place}: expected {attribute}, found none; declare it or move the module")
        if found.setdefault(declared.name, declared) is not declared:
            raise ConfigError(f"{place}: a second {attribute.lower()} is called {declared.name}; rename one")
    sections = list(SECTIONS)
    return dict(sorted(found.items(), key=lambda item: (sections.index(item[1].section), item[1].place)))

"""The rooms of the library: each imports only the rooms before it, and no file outgrows its room."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "clinical_peft"
# A hospital is the package of one source; its record names functions of it, which are imported when they are called.
FIRST = [
    "errors",
    "files",
    "slurm",
    "locks",
    "runtime",
    "progress",
    "methods",
    "tasks",
    "disclosure",
    "sources",
    "recipes",
    "tracking",
]
DATA = ["config", "data", "hospitals", "synthetic", "models", "tokens", "training", "search"]
RESULTS = ["metrics", "tables", "figures", "report", "workflow", "cli"]
ROOMS = [*FIRST, *DATA, *RESULTS]
MODULES = sorted(LIBRARY.rglob("*.py"))
TESTS = Path(__file__).parents[1]
TEST_MODULES = sorted(TESTS.rglob("*.py"))
LONGEST = 400


def room_of(module: Path) -> str:
    parts = module.relative_to(LIBRARY).with_suffix("").parts
    is_hospital = parts[0] == "sources" and len(parts) > 2 and parts[-1] != "__init__"
    return "hospitals" if is_hospital else parts[0]


def imported_rooms(module: Path) -> Iterator[str]:
    """Rooms that a module needs in order to be imported."""
    for statement in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("clinical_peft."):
            path = LIBRARY.joinpath(*str(statement.module).split(".")[1:])
            yield room_of(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))


@pytest.mark.parametrize("room", ROOMS[2:])
def test_a_room_imports_only_the_rooms_before_it(room):
    before = {*ROOMS[: ROOMS.index(room) + 1]}
    found = {
        str(module.relative_to(LIBRARY)): later
        for module in MODULES
        if room_of(module) == room and (later := {*imported_rooms(module)} - before)
    }
    assert found == {}


def test_every_module_has_a_room():
    assert {room_of(module) for module in MODULES if module.parent != LIBRARY} <= {*ROOMS}
    assert {module.name for module in LIBRARY.glob("*.py")} == {"__init__.py", "errors.py", "files.py"}


def test_benchmarks_import_names_that_the_library_has():
    missing = [
        f"{script.name}: {module}.{name}"
        for script in sorted((LIBRARY.parent / "benchmarks").glob("*.py"))
        for module, name in imported_names(script)
        if name not in defined_names(module)
    ]
    assert missing == []


def imported_names(script: Path) -> Iterator[tuple[str, str]]:
    """Modules of the library and the names that a script imports of them, within functions too."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == LIBRARY.name:
            yield from ((str(node.module), alias.name) for alias in node.names)


def defined_names(module: str) -> set[str]:
    """Names that a module defines or imports, and the modules of a package."""
    path = LIBRARY.joinpath(*module.split(".")[1:])
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = {child.stem for child in path.iterdir()} if path.is_dir() else set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_tracking_alone_imports_mlflow():
    importing = {room_of(module) for module in MODULES if "mlflow" in imported_packages(module)}
    assert importing == {"tracking"}


def imported_packages(module: Path) -> set[str]:
    """Packages that a module imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    return names


def test_no_module_is_longer_than_a_reader_can_hold():
    modules = [*MODULES, *TEST_MODULES]
    lengths = {str(module.relative_to(TESTS.parent)): len(module.read_text().splitlines()) for module in modules}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_what_tests_share_stands_in_support():
    """Pytest imports a module of tests by itself: one that another imports has its tests and fixtures twice."""
    names = {module.stem for module in TEST_MODULES if module.stem.startswith("test_")}
    shared = {
        str(module.relative_to(TESTS)): found for module in TEST_MODULES if (found := imported_packages(module) & names)
    }
    assert shared == {}


def test_files_of_tests_have_names_of_their_own():
    """Tests of all rooms run in one process, which knows a file by its name alone."""
    names = [module.name for module in TEST_MODULES]
    assert sorted({name for name in names if names.count(name) > 1}) == []

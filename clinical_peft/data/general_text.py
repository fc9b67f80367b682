"""General English for measuring what a model forgets: the Python standard library's own documentation.

It ships with every interpreter, needs no network, and holds no hospital data. Source files are parsed, never
imported.
"""

import ast
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

from clinical_peft.data.note_table import write_notes
from clinical_peft.data.seen_texts import SeenTexts
from clinical_peft.errors import DataError

_LEAST_CHARACTERS = 200  # a shorter document is hardly prose
_LEAST_WORDS_PER_LINE = 3
_TEST_FOLDERS = {"test", "tests", "idle_test"}
_DOCTEST = re.compile(r"\s*(>>>|\.\.\.)")
_CODE = re.compile(r"[=(){}\[\]<>|\\_:;]")


def collect_general_text(output: Path, *, max_characters: int) -> dict[str, object]:
    """Write documentation of the standard library as a table of notes of kind ``general``.

    The topics of the language reference come first, then one document per module with its docstrings, both in
    alphabetical order, until ``max_characters`` would be passed. Lines that look like code are left out.

    Args:
        output: Parquet file to write; its schema's metadata records the Python version.
        max_characters: Most characters of text in all.

    Returns:
        documents, characters, python_version.

    Raises:
        DataError: Not one document fits, or the interpreter comes without its library's source.
    """
    version = platform.python_version()
    written = {"documents": 0, "characters": 0}

    def rows() -> Iterator[dict[str, object]]:
        seen = SeenTexts()
        for note_id, text in _documents():
            if len(text) < _LEAST_CHARACTERS or not seen.add(text):
                continue
            if written["characters"] + len(text) > max_characters:
                break
            written["documents"] += 1
            written["characters"] += len(text)
            yield {"note_id": note_id, "kind": "general", "text": text}
        if not written["documents"]:
            raise DataError(f"general text: no document of the standard library fits in {max_characters} characters")

    write_notes(output, rows(), metadata={"python_version": version})
    return {**written, "python_version": version}


def _documents() -> Iterator[tuple[str, str]]:
    for topic in sorted(topics):
        yield f"pydoc_data.topics/{topic}", _prose(topics[topic])
    library = Path(sysconfig.get_paths()["stdlib"])
    for name in sorted(sys.stdlib_module_names):
        for path in _sources(library, name):
            module = ".".join(path.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
            yield f"stdlib/{module}", _prose("\n\n".join(_docstrings(path)))


def _sources(library: Path, module: str) -> list[Path]:
    single = library / f"{module}.py"
    if single.is_file():
        return [single]
    files = (library / module).rglob("*.py")
    return sorted(path for path in files if not _TEST_FOLDERS & set(path.relative_to(library).parts))


def _docstrings(path: Path) -> list[str]:
    """Docstrings of a module and of its classes and functions, in the order of the source."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # sources that show errors on purpose, as in lib2to3
        return []
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    return [text for node in nodes if (text := ast.get_docstring(node))]


def _prose(text: str) -> str:
    """Leave out lines that look like code, headings' underlines and the gaps that they leave."""
    kept = [line.rstrip() for line in text.splitlines() if not line.strip() or _is_prose(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _is_prose(line: str) -> bool:
    if _DOCTEST.match(line):
        return False
    words = re.findall(r"[A-Za-z]{2,}", line)
    return len(words) >= _LEAST_WORDS_PER_LINE and len(_CODE.findall(line)) <= len(words) // 2

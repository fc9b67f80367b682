"""How many notes the published releases hold, and whether a file that was read holds them."""

from collections.abc import Mapping
from pathlib import Path

from clinical_peft.errors import DataError
from clinical_peft.files import read_json
from clinical_peft.sources import SOURCES

RELEASE_ROWS = {
    table.name.lower(): table.release
    for source in SOURCES.values()
    for table in source.note_tables
    if table.release is not None
}
"""Release and its rows, by the name of the table in lower case."""
NEAR = 0.05
"""A table whose rows differ by at most this share of the release's is taken for it, any other for a subset."""


def expected_rows(path: Path, table: str, rows: int, *, whole_release: bool | None = None) -> int | None:
    """Return how many rows the release has, once a table of notes was read to its end.

    Args:
        path: The file that was read.
        table: Name of the table in lower case.
        rows: Rows read, the header not counted.
        whole_release: Whether the file claims to be the release. None: it does if ``SHA256SUMS.txt``, which a
            download of the whole release holds, lists it, or if its rows are `NEAR` the release's.

    Returns:
        The rows of the release, or None for a table of the synthetic hospital or of no known release.

    Raises:
        DataError: The rows differ in a file that claims to be the release.
    """
    if table not in RELEASE_ROWS or _is_synthetic(path):
        return None
    release, expected = RELEASE_ROWS[table]
    if rows == expected or whole_release is False:
        return expected
    if reason := _claim(path, abs(rows - expected) / expected, whole_release=whole_release):
        raise DataError(
            f"{path}: expected the {expected:,} rows of {release}, since {reason}; found {rows:,}; fetch the file "
            "again and compare its checksum, or for a subset or another version set data.whole_release to false"
        )
    return expected


def _claim(path: Path, difference: float, *, whole_release: bool | None) -> str:
    """Explain why a file is taken for the release, or nothing."""
    if whole_release:
        return "data.whole_release is true"
    if listing := _listing(path):
        return f"{listing} lists the file"
    return f"it has as many but for {NEAR:.0%}" if difference <= NEAR else ""


def release_warnings(counts: Mapping[str, int]) -> list[str]:
    """List which tables have more or fewer rows than the release, from the counts of `extract_notes`."""
    return [
        f"{table}: expected the {expected:,} rows of {release}, found {counts[f'{table}_rows']:,}; "
        "right for a subset or another version, else fetch the file again and compare its checksum"
        for table, (release, expected) in RELEASE_ROWS.items()
        if counts.get(f"{table}_rows_expected", counts.get(f"{table}_rows")) != counts.get(f"{table}_rows")
    ]


def _is_synthetic(path: Path) -> bool:
    """Return whether a PROVENANCE.json in the table's folder, or one of the two above it, says that it is synthetic."""
    statements = [folder / "PROVENANCE.json" for folder in path.absolute().parents[:3]]
    return any(statement.is_file() and read_json(statement).get("synthetic") for statement in statements)


def _listing(path: Path) -> Path | None:
    """Return the release's list of checksums if it names the file, compressed or not."""
    for folder in path.absolute().parents[:2]:
        listing = folder / "SHA256SUMS.txt"
        if listing.is_file():
            words = listing.read_text(encoding="utf-8", errors="replace").split()
            named = {word.removeprefix("./").removesuffix(".gz") for word in words}
            if path.absolute().relative_to(folder).as_posix().removesuffix(".gz") in named:
                return listing
    return None

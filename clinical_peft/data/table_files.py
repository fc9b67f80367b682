"""Where a hospital table's file is. Imports nothing heavy, so that a workflow can ask before it starts."""

from pathlib import Path

from clinical_peft.errors import DataError

RELEASE_SUBFOLDERS = ("", "note", "hosp", "icu")


def table_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a table, one unless it is there plain and gzipped, or in two letter cases.

    Args:
        folder: Folder of a release; its usual subfolders (note, hosp, icu) are searched too.
        name: Table name without suffix, in any letter case.

    Returns:
        Those of the first folder that has any, ordered by name.
    """
    wanted = (f"{name}.csv".lower(), f"{name}.csv.gz".lower())
    for subfolder in RELEASE_SUBFOLDERS:
        directory = Path(folder) / subfolder
        files = sorted(directory.iterdir()) if directory.is_dir() else []
        if found := [path for path in files if path.name.lower() in wanted and path.is_file()]:
            return found
    return []


def locate_table(folder: Path, name: str) -> Path | None:
    """Return the path of a table's file, or None when the folder has none.

    Args:
        folder: As for `table_files`.
        name: Table name without suffix, in any letter case.

    Raises:
        DataError: The table is there twice: which file is whole cannot be known.
    """
    found = table_files(folder, name)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{found[0].parent}: expected the table {name} in one file, found {names}; remove all but one")
    return found[0] if found else None


def find_table(folder: Path, name: str) -> Path:
    """Return the path of a table's file, ``.csv`` or ``.csv.gz``, in any letter case.

    Raises:
        DataError: The folder or the file does not exist, or the table is there twice.
    """
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: expected a folder that holds {name}.csv or {name}.csv.gz, found no such folder")
    path = locate_table(folder, name)
    if path is None:
        raise DataError(
            f"{folder}: expected {name}.csv or {name}.csv.gz (here or in note/, hosp/, icu/), found neither; "
            "download the table or correct the folder in the configuration"
        )
    return path

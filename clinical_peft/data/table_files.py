"""Where a hospital table's file is. Imports nothing heavy, so that a workflow can ask before it starts."""

from pathlib import Path

from clinical_peft.errors import DataError

RELEASE_SUBFOLDERS = ("", "note", "hosp", "icu")


def locate_table(folder: Path, name: str) -> Path | None:
    """Return the path of a table's file, or None when the folder has none.

    Args:
        folder: Folder of a release; its usual subfolders (note, hosp, icu) are searched too.
        name: Table name without suffix, in any letter case.

    Returns:
        The ``.csv`` if there is one, else the ``.csv.gz``.
    """
    wanted = (f"{name}.csv".lower(), f"{name}.csv.gz".lower())
    for subfolder in RELEASE_SUBFOLDERS:
        directory = Path(folder) / subfolder
        files = sorted(directory.iterdir()) if directory.is_dir() else []
        for file_name in wanted:
            for path in files:
                if path.name.lower() == file_name and path.is_file():
                    return path
    return None


def find_table(folder: Path, name: str) -> Path:
    """Return the path of a table's file, ``.csv`` or ``.csv.gz``, in any letter case.

    Raises:
        DataError: The folder or the file does not exist.
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

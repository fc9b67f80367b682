"""Results of the parts of a long job, kept until it is done, so that a killed job resumes."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError
from clinical_peft.files import private_directory, read_json, write_json
from clinical_peft.runtime.process_pool import in_processes
from clinical_peft.runtime.progress import Progress


class KeptParts:
    """Computes numbered parts, in several processes, and keeps what each gave.

    Args:
        folder: Where results are kept, each with its digest; None to keep none.
        identity: What the results depend on, as JSON. Those of another identity are removed.
        processes: Processes that share the parts. Results do not depend on them.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], processes: int = 1) -> None:
        self._folder = None if folder is None else Path(folder)
        self._processes = processes
        if self._folder is not None:
            _drop_results_of_another_job(self._folder, dict(identity))

    def results(self, title: str, work: Callable[[int], Any], parts: int) -> list[Any]:
        """Return what a function gives for each part, in the order of their numbers.

        Args:
            title: Names the parts among those of the job, in file names and in lines of progress.
            work: Called with a part's number; what it returns goes through JSON.
            parts: How many parts there are.

        Raises:
            Exception: What ``work`` raises, with the parts that were finished kept.
        """
        kept = {number: self._kept(title, number) for number in range(parts)}
        found = {number: result for number, (is_kept, result) in kept.items() if is_kept}
        progress = Progress(title, parts, done=len(found))

        def compute(number: int) -> tuple[int, Any]:
            result = work(number)
            self._keep(title, number, result)
            return number, result

        for number, result in in_processes(compute, [n for n in range(parts) if n not in found], self._processes):
            found[number] = result
            progress.update(len(found))
        return [found[number] for number in range(parts)]

    def _file(self, folder: Path, title: str, number: int) -> Path:
        return folder / f"{title.replace(' ', '-')}-{number:05d}.json"

    def _kept(self, title: str, number: int) -> tuple[bool, Any]:
        """Return whether a part's result is there and whole, and the result."""
        if self._folder is None or not (file := self._file(self._folder, title, number)).exists():
            return False, None
        try:
            record = read_json(file)
            whole = record["sha256"] == _digest(record["result"])
        except (DataError, UnicodeDecodeError, KeyError, TypeError):
            return False, None
        return whole, record["result"]

    def _keep(self, title: str, number: int, result: Any) -> None:
        if self._folder is not None:
            write_json(self._file(self._folder, title, number), {"result": result, "sha256": _digest(result)})


@contextmanager
def removed_when_done(work: Path | None) -> Iterator[None]:
    """Remove a folder of kept parts when the block ends without an error."""
    yield
    if work is not None:
        shutil.rmtree(work, ignore_errors=True)


def _drop_results_of_another_job(folder: Path, identity: dict[str, Any]) -> None:
    file = folder / "identity.json"
    if folder.exists():
        try:
            same = file.exists() and _digest(read_json(file)) == _digest(identity)
        except (DataError, UnicodeDecodeError):
            same = False
        if same:
            return
        shutil.rmtree(folder)
    write_json(private_directory(folder) / file.name, identity)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

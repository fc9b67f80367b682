"""Ways to get the notes out of discharge.csv.gz, each run in a process of its own by extract.py.

python benchmarks/extract_ways.py NAME FOLDER OUTPUT prints one line of JSON: seconds by the clock, seconds of processor
time, peak memory, and what the way counted. Imports and the start of Python are not part of the time.
"""

import gzip
import importlib.util
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import peak_memory

COLUMNS = ["note_id", "subject_id", "hadm_id", "charttime", "text"]
BLOCK = 2 << 20  # bytes
SKIPPED = 3  # exit status of a way whose package is not installed

Way = Callable[[], int]


def ours(folder: Path, output: Path, flattened: bool) -> Way:
    """This project's extraction, under one of its protocols."""
    from clinical_peft.data.note_extraction import extract_notes

    return lambda: extract_notes("mimic-iv", output, mimic_iv_note=folder, mimic_iii=None, flattened=flattened)[
        "written"
    ]


def original(folder: Path, output: Path) -> Way:
    """What the original study does: the whole table in memory, regular expressions row by row, one note a line.

    The radiology table is read too, as ours does.
    """
    import pandas as pd

    def clean(text: str) -> str:
        text = re.sub(r"\[\*\*|\*\*\]", " ", text)
        text = re.sub(r"\n", " ", text)
        return re.sub(r" +", " ", text)

    def run() -> int:
        notes = 0
        with gzip.open(output, "wt", encoding="utf-8") as handle:
            for name in ("discharge", "radiology"):
                texts = pd.read_csv(folder / f"{name}.csv.gz", compression="gzip")["text"].dropna().apply(clean)
                handle.writelines(text + "\n" for text in texts)
                notes += len(texts)
        return notes

    return run


def decompress(folder: Path, output: Path, package: str) -> Way:
    """Decompression alone, in blocks."""
    if package == "isal":
        from isal import igzip as module
    else:
        module = gzip

    def run() -> int:
        size = 0
        with module.open(folder / "discharge.csv.gz", "rb") as handle:
            while block := handle.read(BLOCK):
                size += len(block)
        return size

    return run


def parse_pyarrow(folder: Path, output: Path, package: str) -> Way:
    """Parsing alone, by pyarrow's streaming reader over isal's or its own decompression."""
    import pyarrow as pa
    from isal import igzip
    from pyarrow import csv

    def run() -> int:
        path = folder / "discharge.csv.gz"
        source = igzip.open(path, "rb") if package == "isal" else pa.input_stream(path, compression="gzip")
        with source:
            reader = csv.open_csv(
                source,
                read_options=csv.ReadOptions(block_size=BLOCK, use_threads=False),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    include_columns=COLUMNS, column_types=dict.fromkeys(COLUMNS, pa.string())
                ),
            )
            return sum(batch.num_rows for batch in reader)

    return run


def parse_polars(folder: Path, output: Path) -> Way:
    """Parsing alone, by polars into memory."""
    import polars

    path = folder / "discharge.csv.gz"
    return lambda: polars.read_csv(path, columns=COLUMNS, infer_schema=False).height


def parse_pandas(folder: Path, output: Path) -> Way:
    """Parsing alone, by pandas in chunks."""
    import pandas as pd

    path = folder / "discharge.csv.gz"
    return lambda: sum(len(chunk) for chunk in pd.read_csv(path, usecols=COLUMNS, dtype=str, chunksize=5_000))


WAYS: dict[str, tuple[Callable[..., Way], dict[str, Any]]] = {
    "ours, corrected": (ours, {"flattened": False}),
    "ours, paper": (ours, {"flattened": True}),
    "original": (original, {}),
    "decompress, isal": (decompress, {"package": "isal"}),
    "decompress, gzip": (decompress, {"package": "gzip"}),
    "parse, pyarrow over isal": (parse_pyarrow, {"package": "isal"}),
    "parse, pyarrow": (parse_pyarrow, {"package": "pyarrow"}),
    "parse, polars": (parse_polars, {}),
    "parse, pandas in chunks": (parse_pandas, {}),
}


def main(name: str, folder: Path, output: Path) -> None:
    """Run one way and print its measurements."""
    if "polars" in name and importlib.util.find_spec("polars") is None:
        sys.exit(SKIPPED)
    build, options = WAYS[name]
    run = build(folder, output, **options)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    counted = run()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu_seconds": used, "peak_bytes": peak_memory(), "counted": counted}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

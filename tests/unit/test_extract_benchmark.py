"""The benchmark of note extraction: its files can be made, and its ways do what they say."""

import gzip
import importlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

NOTES = 40


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """The two modules of the benchmark and a folder of small tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        extract, ways = importlib.import_module("extract"), importlib.import_module("extract_ways")
    folder = tmp_path_factory.mktemp("benchmark") / "tables"
    extract.make_generated(folder, NOTES)
    return extract, ways, folder


def counted(benchmark, way: str, output: Path) -> int:
    _, ways, folder = benchmark
    build, options = ways.WAYS[way]
    return build(folder, output, **options)()


def test_both_protocols_extract_every_note_with_text(benchmark, tmp_path):
    for way in ("ours, corrected", "ours, paper"):
        written = counted(benchmark, way, tmp_path / "n.parquet")
        assert written == pq.read_metadata(tmp_path / "n.parquet").num_rows
        assert NOTES + 100 - 5 < written <= NOTES + 100  # a hundred radiology reports; one note in 300 is empty


def test_the_ways_that_parse_count_every_row_of_the_first_table(benchmark, tmp_path):
    assert counted(benchmark, "parse, pyarrow over isal", tmp_path) == NOTES
    assert counted(benchmark, "parse, pyarrow", tmp_path) == NOTES
    assert counted(benchmark, "parse, pandas in chunks", tmp_path) == NOTES


def test_decompressing_counts_the_bytes(benchmark, tmp_path):
    extract, _, folder = benchmark
    size = extract.uncompressed_bytes(folder / "discharge.csv.gz")
    assert counted(benchmark, "decompress, isal", tmp_path) == counted(benchmark, "decompress, gzip", tmp_path) == size


def test_the_original_reader_writes_the_text_of_paper(benchmark, tmp_path):
    lines = counted(benchmark, "original", tmp_path / "notes.gz")
    counted(benchmark, "ours, paper", tmp_path / "n.parquet")
    texts = pq.read_table(tmp_path / "n.parquet")["text"].to_pylist()
    assert lines == len(texts)
    assert gzip.decompress((tmp_path / "notes.gz").read_bytes()).decode() == "".join(text + "\n" for text in texts)


@pytest.mark.parametrize("installed", [True, False])
def test_the_ratios_hold_every_peer_that_is_installed(benchmark, monkeypatch, installed):
    extract, ways, folder = benchmark

    def measure(way, _):
        if way == "parse, polars" and not installed:
            return None
        return {"seconds": 1.0 + len(way), "cpu_seconds": 2.0, "peak_bytes": 1, "counted": 1}

    monkeypatch.setattr(extract, "measure", measure)
    found = extract.compare(folder, 2)
    assert set(found["ways"]) == set(ways.WAYS) - (set() if installed else {"parse, polars"})
    assert ("parse, polars / ours, corrected" in found["ratios"]) == installed
    assert found["ratios"]["original / ours, paper"]["seconds"]["median"] == 9 / 12
    assert found["not_installed"] == ([] if installed else ["parse, polars"])

"""Measure how a pretraining step of LoRA scales with the length of documents and the size of a forward pass.

python benchmarks/pretraining_scaling.py                                                    # 23 million parameters
python benchmarks/pretraining_scaling.py --shape 7b --tokens 65536 --passes 4096 8192 16384   # on a GPU

Ours and the original's loop train on about as many real tokens at every length; ratios are taken within a turn. A pass
too large for the memory is recorded as such.
"""

import argparse
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pretraining_case import Case, build_case, described_device, gemm_flops, load, release, useful_flops
from pretraining_ways import Way, original, ours
from turns import CLOCKS

from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

HERE = Path(__file__).resolve().parent


def measure(case: Case, way: Way, rows: int) -> dict[str, float] | None:
    """Train once; None when it does not fit into memory."""
    case.restart()
    release()
    try:
        return asdict(way.train(case.documents, case.updates, rows))
    except torch.OutOfMemoryError:
        return None


def point(case: Case, tokens_per_pass: int, *, turns: int, compiled: bool) -> dict[str, Any]:
    """Compare both ways at one length and one size of a forward pass."""
    rows = tokens_per_pass // case.context
    found = {"ours": ours(case, compiled=compiled), "original": original(case)}
    runs: dict[str, list[dict[str, float] | None]] = {name: [] for name in found}
    ceilings = []
    for turn in range(turns + 1):
        for name in list(found)[:: 1 if turn % 2 else -1]:
            spent = measure(case, found[name], rows)
            if turn:  # the first turn warms up
                runs[name].append(spent)
        ceilings.append(gemm_flops(case.device, case.precision))
    record: dict[str, Any] = {"context": case.context, "tokens_per_pass": tokens_per_pass, "real_tokens": case.tokens}
    for name, results in runs.items():
        record[name] = figures(case, results, ceilings[1:])
    if record["ours"] and record["original"]:
        record["original / ours"] = {
            clock: statistics.median(
                slow[clock] / quick[clock]
                for slow, quick in zip(runs["original"], runs["ours"], strict=True)
                if slow and quick
            )
            for clock in CLOCKS
        }
    return record


def figures(
    case: Case, results: list[dict[str, float] | None], ceilings: list[dict[str, float]]
) -> dict[str, Any] | None:
    """Medians of one way; None when it did not fit."""
    fitting = [result for result in results if result is not None]
    if len(fitting) < len(results):
        return None
    medians = {clock: statistics.median(result[clock] for result in fitting) for clock in CLOCKS}
    return {
        "tokens_per_second": {clock: case.tokens / medians[clock] for clock in CLOCKS},
        "share_of_gemm": {
            clock: useful_flops(case) / medians[clock] / statistics.median(ceiling[clock] for ceiling in ceilings)
            for clock in CLOCKS
        },
        "peak_gpu_bytes": max(int(result["gpu_bytes"]) for result in fitting),
        "compiled_while_timed": sum(int(result["compiled"]) for result in fitting),
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every point, and return them with machine, versions and revision."""
    load_before, points, device = load(), [], torch.device("cpu")
    for context in arguments.contexts:
        documents = max(2, round(arguments.tokens / ((1 - arguments.padding) * context)))
        case = build_case(
            arguments.shape,
            context=context,
            updates=1,
            rows=documents,
            padding=arguments.padding,
            threads=arguments.threads,
        )
        device = case.device
        for size in arguments.passes:
            if size < context:
                continue
            points.append(point(case, size, turns=arguments.turns, compiled=arguments.compile))
            print({key: points[-1].get(key) for key in ("context", "tokens_per_pass", "original / ours")}, flush=True)
        del case
        release()
    return {
        "shape": arguments.shape,
        "padding": arguments.padding,
        "threads": arguments.threads,
        "turns": arguments.turns,
        "points": points,
        "load_before": load_before,
        "load_after": load(),
        "git_revision": git_revision(HERE),
        "machine": machine() | described_device(device),
        "versions": package_versions(),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=("tiny", "23m", "7b"), default="23m")
    parser.add_argument("--contexts", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--passes", type=int, nargs="+", default=[1024, 2048, 4096], help="tokens of a forward pass")
    parser.add_argument("--tokens", type=int, default=6000, help="real tokens of an optimizer step, about")
    parser.add_argument(
        "--padding", type=float, default=0.3, help="share of padding when all are padded to the context"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads on a CPU")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="compile ours")
    parser.add_argument("--output", type=Path, help="default: results/pretraining_scaling_{cpu,cuda}.json")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    result = run(given)
    kind = "cuda" if "gpu" in result["machine"] else "cpu"
    write_json(given.output or HERE / "results" / f"pretraining_scaling_{kind}.json", result)

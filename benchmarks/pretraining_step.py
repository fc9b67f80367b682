"""Measure a pretraining step of LoRA against the original's loop, Trainer with PEFT, and TRL, all in one run.

python benchmarks/pretraining_step.py                                    # 23 million parameters, on this CPU
python benchmarks/pretraining_step.py --shape 7b --updates 8 --rows 128  # LLaMA-7B's shape, on a GPU

Networks have random weights and are built on the device; nothing is downloaded. All ways train the same adapter on the
same documents, whose lengths are log-normal, cut at the context, so that padding to it makes 30 %. Each way uses the
size of forward pass that is fastest for it among those that fit. Then the ways take turns; ratios are taken within a
turn. A way whose loss differs from that of float32 forward passes over single documents is not measured.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pretraining_case import (
    Case,
    build_case,
    described_device,
    fastest_fitting,
    gemm_flops,
    load,
    reference_loss,
    release,
    useful_flops,
)
from pretraining_ways import Way, ways
from turns import CLOCKS, peak_memory, spread

from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

HERE = Path(__file__).resolve().parent
LOSS_TOLERANCE = 1e-3
CHECKED = 16  # documents whose loss is compared
ATTEMPTS = 2  # with a size of forward pass, of which the faster counts


def check(case: Case, found: dict[str, Way]) -> tuple[dict[str, float], dict[str, str]]:
    """Compare every way's loss with the reference.

    Returns:
        Relative differences of the ways that agree, and why the others are left out.
    """
    documents = case.documents[:CHECKED]
    expected = reference_loss(case, documents)
    differences, refused = {}, {}
    for name, way in found.items():
        difference = abs(way.loss(documents) / expected - 1)
        if difference <= LOSS_TOLERANCE:
            differences[name] = difference
        else:
            refused[name] = f"its loss differs by {difference:.1e} from forward passes over single documents"
    return differences, refused


def tune(case: Case, way: Way, sizes: list[int]) -> tuple[int, dict[str, float | None]]:
    """Choose the size of a forward pass, in rows of the context's length, by one optimizer step with each."""
    documents = case.documents[: case.rows]

    def attempt(rows: int) -> float:
        case.restart()
        way.train(documents, 1, rows)  # warms up, and compiles
        return min(way.train(documents, 1, rows).seconds for _ in range(ATTEMPTS))

    return fastest_fitting(sizes, attempt)


def compare(case: Case, found: dict[str, Way], rows: dict[str, int], turns: int) -> dict[str, Any]:
    """Let the ways take turns, in the other order every second time."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in found}
    ceilings = []
    for turn in range(turns + 1):
        ceiling = gemm_flops(case.device, case.precision)
        for name in list(found)[:: 1 if turn % 2 else -1]:
            case.restart()
            release()
            spent = asdict(found[name].train(case.documents, case.updates, rows[name]))
            if turn:  # the first turn warms up
                runs[name].append(spent)
                speeds = [case.tokens / spent[clock] for clock in CLOCKS]
                print(f"{name:20s} {speeds[0]:9,.0f} tokens/s, {speeds[1]:9,.0f} of the processor", flush=True)
        if turn:
            ceilings.append(ceiling)
    return {
        "ways": {name: summary(case, results, ceilings) for name, results in runs.items()},
        "ratios": {
            f"{name} / ours": {clock: spread(runs[name], runs["ours"], clock) for clock in CLOCKS}
            for name in found
            if name != "ours"
        },
        "gemm_flops": {clock: statistics.median(ceiling[clock] for ceiling in ceilings) for clock in CLOCKS},
    }


def summary(case: Case, results: list[dict[str, float]], ceilings: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of one way's turns."""
    record: dict[str, Any] = {key: statistics.median(result[key] for result in results) for key in CLOCKS}
    record["tokens_per_second"] = {clock: case.tokens / record[clock] for clock in CLOCKS}
    # The ceiling is of one core by the processor's clock, and of the device by the wall's.
    record["share_of_gemm"] = {
        clock: statistics.median(
            useful_flops(case) / result[clock] / ceiling[clock]
            for result, ceiling in zip(results, ceilings, strict=True)
        )
        for clock in CLOCKS
    }
    record["compiled_while_timed"] = sum(int(result["compiled"]) for result in results)
    if case.device.type == "cuda":
        record["peak_bytes"] = max(int(result["gpu_bytes"]) for result in results)
    return record


def process_peak(name: str, rows: int, arguments: argparse.Namespace) -> int:
    """Peak memory of a fresh process that trains in one way."""
    command = [sys.executable, __file__, "--only", name, "--only-rows", str(rows), "--updates", "1"]
    for key in ("shape", "context", "rows", "padding", "threads"):
        command += [f"--{key}", str(getattr(arguments, key))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return everything with machine, versions and revision."""
    load_before = load()
    case = case_of(arguments)
    found, left_out = ways(case, compiled=arguments.compile)
    differences, refused = check(case, found)
    left_out |= refused
    for name, reason in left_out.items():
        print(f"{name:20s} left out: {reason}", flush=True)
    if "ours" not in differences:
        sys.exit(f"ours: {left_out['ours']}")
    tuned = {name: tune(case, found[name], arguments.sizes) for name in differences}
    rows = {name: size for name, (size, _) in tuned.items()}
    measured = compare(case, {name: found[name] for name in differences}, rows, arguments.turns)
    if case.device.type == "cpu":
        for name, record in measured["ways"].items():
            record["peak_bytes"] = process_peak(name, rows[name], arguments)
    return {
        "case": {
            "shape": asdict(case.shape),
            "context": case.context,
            "documents": len(case.documents),
            "real_tokens": case.tokens,
            "padding": 1 - case.tokens / (len(case.documents) * case.context),
            "updates": case.updates,
            "precision": case.precision,
            "threads": arguments.threads,
            "turns": arguments.turns,
        },
        **measured,
        "settings": {name: found[name].settings for name in differences},
        "rows_per_pass": rows,
        "seconds_by_rows_per_pass": {name: tried for name, (_, tried) in tuned.items()},
        "loss_difference": differences,
        "left_out": left_out,
        "load_before": load_before,
        "load_after": load(),
        "git_revision": git_revision(HERE),
        "machine": machine() | described_device(case.device),
        "versions": package_versions(),
    }


def case_of(arguments: argparse.Namespace) -> Case:
    """Build what the arguments ask for."""
    return build_case(
        arguments.shape,
        context=arguments.context,
        updates=arguments.updates,
        rows=arguments.rows,
        padding=arguments.padding,
        threads=arguments.threads,
    )


def only(arguments: argparse.Namespace) -> None:
    """Train in one way and print the peak memory of this process."""
    case = case_of(arguments)
    found, _ = ways(case, compiled=arguments.compile)
    found[arguments.only].train(case.documents, case.updates, arguments.only_rows)
    print(peak_memory())


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=("tiny", "23m", "7b"), default="23m")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--updates", type=int, default=2, help="optimizer steps of a turn")
    parser.add_argument("--rows", type=int, default=16, help="documents of an optimizer step")
    parser.add_argument(
        "--padding", type=float, default=0.3, help="share of padding when all are padded to the context"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads on a CPU")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 2, 4, 8], help="rows of a forward pass to try, ascending"
    )
    parser.add_argument("--compile", action="store_true", help="compile ours, and run Trainer compiled, too")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--only-rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="default: results/pretraining_step_{cpu,cuda}.json")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    if given.only:
        only(given)
    else:
        result = run(given)
        kind = "cuda" if "gpu" in result["machine"] else "cpu"
        write_json(given.output or HERE / "results" / f"pretraining_step_{kind}.json", result)

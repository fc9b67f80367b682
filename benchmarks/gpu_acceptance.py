"""Check on one GPU what this project claims of GPUs: one JSON line per claim, about 8 minutes of an H100.

python benchmarks/gpu_acceptance.py           # on a GPU; lines go to benchmarks/results/gpu_acceptance.jsonl as well
python benchmarks/gpu_acceptance.py --small   # a network of 1 million parameters, on any device: proves the script

A line holds `claim`, `holds` (true, false, or null where nothing could be asked or a speed is only told), `at` (seconds
since the start), `seconds` and what was measured. Claims come in the order of their worth per second; those that the
budget (`--seconds`) leaves no time for say so. A claim that ends with an error does not hold, and the others go on.
The exit code is 1 if a claim does not hold.

Needs torch, transformers, peft, accelerate, safetensors, pyarrow and numpy; bitsandbytes and pynvml are used if there.
"""

import argparse
import json
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import gpu_claims
import gpu_kernels
import gpu_several
import gpu_speed
from gpu_setting import Claim, Finding, Setting
from pretraining_case import release
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "gpu_acceptance.jsonl"
SECONDS = 450.0
CLAIMS: tuple[Claim, ...] = (
    *gpu_claims.MACHINE,
    *gpu_kernels.CLAIMS,
    *gpu_claims.CLAIMS,
    *gpu_speed.CLAIMS,
    *gpu_several.CLAIMS,
)


def ask(claim: Claim, setting: Setting) -> Iterator[Finding]:
    """Yield what a claim's measurement finds; an error is a finding, too."""
    left = setting.seconds_left()
    if left < claim.seconds and not setting.small:
        yield Finding(claim.name, None, {"skipped": f"needs {claim.seconds} s, {left:.0f} s are left"})
        return
    try:
        yield from claim.measure(setting)
    except Exception as error:  # one claim must not keep the others from being asked
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        yield Finding(claim.name, False, {"error": f"{type(error).__name__}: {error}"[:400], "where": where})


def run(setting: Setting, claims: Sequence[Claim], streams: Sequence[TextIO]) -> bool:
    """Ask all claims and write a line of each finding; return whether none failed."""
    sound = True
    for claim in claims:
        asked = time.monotonic()
        for finding in ask(claim, setting):
            now = time.monotonic()
            times = {"at": round(now - setting.started, 1), "seconds": round(now - asked, 1)}
            line = json.dumps({"claim": finding.claim, "holds": finding.holds, **times, **finding.facts}, default=str)
            for stream in streams:
                print(line, file=stream, flush=True)
            sound &= finding.holds is not False
        release()
    return sound


def chosen_claims(names: Sequence[str]) -> list[Claim]:
    """Return the claims whose names begin so, or all.

    Raises:
        SystemExit: A name fits none.
    """
    for name in names:
        if not any(claim.name.startswith(name) for claim in CLAIMS):
            raise SystemExit(f"--only {name}: expected the beginning of one of: {'; '.join(c.name for c in CLAIMS)}")
    return [claim for claim in CLAIMS if not names or claim.name.startswith(tuple(names))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask the claims that were chosen; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny network, on any device, without a budget")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="budget of all claims together")
    parser.add_argument("--only", action="append", default=[], help="beginning of a claim's name; may be repeated")
    parser.add_argument("--out", type=Path, help=f"file of the lines; by default {RESULTS.name} on a GPU")
    asked = parser.parse_args(arguments)
    claims = chosen_claims(asked.only)
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    setting = Setting(small=asked.small, seconds=asked.seconds)
    out: Path | None = asked.out or (RESULTS if setting.gpu and not asked.small else None)
    streams: list[Any] = [sys.stdout]
    if out is None:
        return 0 if run(setting, claims, streams) else 1
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as file:
        return 0 if run(setting, claims, [*streams, file]) else 1


if __name__ == "__main__":
    sys.exit(main())

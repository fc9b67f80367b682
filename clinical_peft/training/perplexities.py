"""Perplexities of a network on every split, measured once even if the job is interrupted.

Before and after training, every split is read forward once. On a large corpus that takes hours, so each value is kept
in the job's work folder as soon as it is known, and a request to stop takes effect between two forward passes.
"""

import hashlib
import json
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import DataError, StoppedError, StorageError
from clinical_peft.files import read_json, sha256_file, write_json
from clinical_peft.runtime.signals import StopRequest, stop_signals_noted
from clinical_peft.training.general_text import GeneralRows
from clinical_peft.training.language_loop import EvaluationStopped, measure_perplexity
from clinical_peft.training.language_plan import evaluation_rows
from clinical_peft.training.language_run import LanguageRun, LanguageState

FILE_NAME = "perplexities.json"
GENERAL = "general"
GENERAL_SPLIT = "test"
BASE = "base"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Perplexities:
    """Perplexities of one network.

    Attributes:
        notes: Of each split of the clinical notes.
        general: Of general text; None where none is measured.
    """

    notes: dict[str, float]
    general: float | None


class Measurements:
    """Measures the perplexities of a job and keeps them.

    Args:
        run: Loss, batch size, precision, work folder and identity of the job; its rows are the clinical notes.
        text: General text, or None where none is measured.

    Attributes:
        seconds: Time that the measurements took, those of interrupted runs included.
    """

    def __init__(self, run: LanguageRun, text: GeneralRows | None) -> None:
        # Whatever the strategy of training, the networks that are measured are whole in every process.
        self.run = replace(run, workers=replace(run.workers, strategy="ddp"))
        self.parts = {split: (self.run, split) for split in SPLITS}
        if text is not None and run.recipe.general_tokens:
            recipe = replace(run.recipe, evaluation_tokens=run.recipe.general_tokens)
            self.parts[GENERAL] = (replace(self.run, shards=text, recipe=recipe), GENERAL_SPLIT)
        fingerprint = text.fingerprint() if text is not None else ""
        self.identity = hashlib.sha256(f"{run.identity}|{fingerprint}".encode()).hexdigest()
        self.file = Path(run.work) / FILE_NAME
        self.kept: dict[str, list[float]] = self._read() if run.workers.first else {}
        self.seconds = 0.0

    def cost(self, state: LanguageState) -> dict[str, Any]:
        """Count the tokens read in evaluations, and the time that took.

        Args:
            state: The final state of training, with its evaluations.

        Returns:
            evaluated_tokens, those read for one perplexity of each split; forward_tokens, those read before, during and
            after training, general text among them; and evaluation_seconds.
        """
        tokens = {name: self._tokens(name) for name in self.parts}
        return {
            "evaluated_tokens": {split: tokens[split] for split in SPLITS},
            "forward_tokens": 2 * sum(tokens.values()) + len(state.curve) * tokens["validation"],
            "evaluation_seconds": self.seconds + state.evaluation_seconds,
        }

    def _tokens(self, name: str) -> int:
        run, split = self.parts[name]
        rows = evaluation_rows(run.shards, split, run.recipe.evaluation_limit(split), run.salt)
        return int(run.shards.lengths[rows].sum())

    def perplexities(self, network: nn.Module, *, of: str) -> Perplexities:
        """Measure a network, or return what an interrupted run has measured of it.

        Args:
            network: The network; left in evaluation mode.
            of: Which weights it has: `BASE`, or their digest.

        Raises:
            StoppedError: A signal asked the job to stop; what is finished is kept.
        """
        with stop_signals_noted() as stop:
            found = {name: self._measure(network, name, of, stop) for name in self.parts}
        return Perplexities({split: found[split] for split in SPLITS}, found.get(GENERAL))

    def remove(self) -> None:
        """Delete what is kept, once the result is saved."""
        self.file.unlink(missing_ok=True)

    def _measure(self, network: nn.Module, name: str, of: str, stop: StopRequest) -> float:
        workers, key = self.run.workers, f"{of}/{name}"
        # The first process alone reads the file, so that all agree on what is left to do.
        known = self.kept.get(key)
        found, value, seconds = workers.sums(*([1.0, *known] if known else [0.0, 0.0, 0.0]))
        if not found:
            run, split = self.parts[name]
            started = time.perf_counter()
            try:
                value = measure_perplexity(network, run, split, stop=stop)
            except EvaluationStopped:
                raise self._stopped(name, stop) from None
            seconds = time.perf_counter() - started
            self._keep(key, value, seconds)
        self.seconds += seconds
        if any(workers.sums(bool(stop))):
            raise self._stopped(name, stop)
        return value

    def _stopped(self, name: str, stop: StopRequest) -> StoppedError:
        what = "general text" if name == GENERAL else f"the {name} split"
        # Only some of the processes may have seen the signal.
        return StoppedError(
            f"{self.run.title} while measuring the perplexity of {what}, asked by "
            f"{stop.signal or 'a signal to another process'}; what was measured before is kept, and the same command "
            "goes on from it"
        )

    def _keep(self, key: str, value: float, seconds: float) -> None:
        if not self.run.workers.first:
            return
        self.kept[key] = [value, seconds]
        try:
            write_json(self.file, {"identity": self.identity, "kept": self.kept})
        except StorageError as error:
            logger.warning("a perplexity was not kept (%s); a run that is interrupted measures it again", error)

    def _read(self) -> dict[str, list[float]]:
        if not self.file.exists():
            return {}
        try:
            record = read_json(self.file)
            identity, kept = record["identity"], _checked(record["kept"])
        except (DataError, KeyError, TypeError, ValueError):
            logger.warning("%s: damaged; perplexities are measured again", self.file)
            return {}
        if identity != self.identity:
            logger.warning("%s: belongs to another job, recipe or input; perplexities are measured again", self.file)
            return {}
        return kept


def _checked(kept: dict[str, Any]) -> dict[str, list[float]]:
    values = {key: [float(value), float(seconds)] for key, (value, seconds) in kept.items()}
    if not all(math.isfinite(number) for pair in values.values() for number in pair):
        raise ValueError("a value is not finite")
    return values


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights in a folder that an adapter or a network was saved to."""
    digests = {file.name: sha256_file(file) for file in Path(folder).glob("*.safetensors")}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()

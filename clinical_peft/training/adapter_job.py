"""The whole job of a clinical adapter, from its inputs to what is kept of it, whatever number of processes trains it.

The workflow's script runs it. Where several processes train, all that the job needs is in a file of its work folder.
That file outlives an interrupted job, and `clinical_peft.training.launch` runs the job from it, with the same outputs.

This module does not import PyTorch before it trains.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_peft.files import read_json, write_json
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.job_records import as_record, job_from_record
from clinical_peft.runtime.events import JsonlLog, RunLog
from clinical_peft.runtime.lineage import Usage, append_inputs
from clinical_peft.training.kept_seeds import adapter_key, forget_checkpoints, keep, restore

SPECIFICATION = "launch.json"
"""Name of the file in the work folder that several processes read."""
KEPT_LOG = "run.jsonl"
NAME = "adapter"


@dataclass(frozen=True, kw_only=True)
class AdapterJob:
    """What is trained, from which files, and where it goes.

    Attributes:
        job: Everything that decides the adapter, apart from its inputs.
        record: The job as the workflow recorded it, from which what is kept gets its key.
        base: Base folder of a causal network.
        tokens: Token shards of the corpus.
        general: Corpus of general text, or None.
        adapter: Adapter folder to write.
        perplexity: JSON file to write.
        run_log: JSON lines to write.
        work: Folder for checkpoints, which outlives a failed run.
        log_file: Log file of the job.
        folder: Where the workflow runs; relative paths are relative to it.
    """

    job: PretrainJob
    record: dict[str, Any]
    base: Path
    tokens: Path
    general: Path | None
    adapter: Path
    perplexity: Path
    run_log: Path
    work: Path
    log_file: Path
    folder: Path

    @property
    def outputs(self) -> dict[str, Path]:
        """What the job makes, by the name under which it is kept."""
        return {"adapter": self.adapter, "perplexity": self.perplexity, "run_log": self.run_log}

    @property
    def paths(self) -> dict[str, Any]:
        """Files and folders by the names of the parameters of `clinical_peft.training.language.pretrain`."""
        general = {} if self.general is None else {"general": self.general}
        outputs = {"output": self.adapter, "perplexity": self.perplexity}
        return {"base": self.base, "tokens": self.tokens, "work": self.work, **outputs, **general}

    def write(self) -> Path:
        """Write the specification into the work folder, all paths absolute, and return its path."""
        places = {name: self._absolute(getattr(self, name)) for name in PLACES}
        file = (self.folder / self.work / SPECIFICATION).absolute()
        write_json(file, {"job": as_record(self.job), "record": self.record, "places": places})
        return file

    @classmethod
    def read(cls, file: Path) -> "AdapterJob":
        """Read what `write` wrote.

        Raises:
            DataError: The file is missing or no JSON.
        """
        written = read_json(file)
        places: dict[str, Any] = {
            name: None if path is None else Path(path) for name, path in written["places"].items()
        }
        return cls(job=job_from_record(PretrainJob, written["job"]), record=written["record"], **places)

    def run(self, train: Callable[[RunLog], None]) -> None:
        """Train, begin the run log before and complete it after, and keep the outputs.

        Args:
            train: Makes the adapter and the perplexities, and reports metrics to the log that it is given.

        Raises:
            DataError: An input is missing.
        """
        key = self._key()
        usage, name = Usage(), self.job.adapter
        kept = self.work / KEPT_LOG
        log = JsonlLog(self.run_log, kind="adapters", name=name, parent="adapters", kept=kept)
        log.params(self.record)
        train(log)
        log.metrics(usage.metrics())
        digest = read_json(self.tokens / "tokens.json")["fingerprint"]
        training = {"path": self._named(self.tokens), "sha256": digest, "context": "training"}
        append_inputs(self.run_log, {self.tokens.name: training})
        keep(self.work, NAME, key, self.outputs)

    def restore(self) -> bool:
        """Restore the outputs from what is kept, and return whether they were; see `kept_seeds.restore`."""
        return restore(self.work, NAME, self._key(), self.outputs)

    def forget(self) -> None:
        """Delete checkpoints and the specification of a finished job."""
        forget_checkpoints(self.work)

    def _key(self) -> str:
        return adapter_key(self.record, base=self.base, tokens=self.tokens, general=self.general)

    def _absolute(self, path: Path | None) -> str | None:
        return None if path is None else str((self.folder / path).absolute())

    def _named(self, path: Path) -> str:
        """Return a path as the workflow names it."""
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)


PLACES = ("base", "tokens", "general", "adapter", "perplexity", "run_log", "work", "log_file", "folder")


def train_adapter(adapter: AdapterJob) -> None:
    """Make a clinical adapter, or restore it where it is kept, in as many processes as its recipe asks for.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: See `clinical_peft.training.language.pretrain`; or a process failed.
    """
    if not adapter.restore():
        adapter.run(lambda log: _train(adapter, log))
    adapter.forget()


def _train(adapter: AdapterJob, log: RunLog) -> None:
    devices, threads = adapter.job.recipe.devices, adapter.job.recipe.threads
    if devices.processes == 1:
        from clinical_peft.training.language import pretrain

        pretrain(adapter.job, log=log, **adapter.paths)
        return
    from clinical_peft.training.nodes import allocated_nodes, run_on_nodes
    from clinical_peft.training.workers import run_workers

    specification = adapter.write()
    nodes = allocated_nodes()
    if nodes == 1:
        run_workers(specification, processes=devices.processes, threads=threads)
    else:
        run_on_nodes(specification, nodes=nodes, processes=devices.processes)

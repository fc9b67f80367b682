"""Perplexity of clinical notes under an adapter that exists already, beside that of its base; nothing is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.files import write_json
from clinical_peft.models.adapter_sources import method_of_adapter
from clinical_peft.models.adapters import load_adapter, read_adapter_tensors
from clinical_peft.recipes import MeasureJob
from clinical_peft.recipes.job_records import as_record
from clinical_peft.runtime.events import RunLog
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.decoder_checks import settle_loss
from clinical_peft.training.language import forgetting, load_frozen, log_perplexities
from clinical_peft.training.language_inputs import language_run, read_inputs
from clinical_peft.training.language_run import LanguageState
from clinical_peft.training.optimisation import prepare_torch, to_device
from clinical_peft.training.perplexities import BASE, Measurements, weights_digest
from clinical_peft.training.throughput import peak_memory_bytes


def measure_adapter(
    job: MeasureJob,
    *,
    base: Path,
    adapter: Path,
    tokens: Path,
    perplexity: Path,
    work: Path,
    log: RunLog,
    general: Path | None = None,
) -> dict[str, Any]:
    """Measure the perplexities of a base and of an adapter on it.

    Args:
        job: How notes are read.
        base: Base folder of a causal network.
        adapter: Folder of the adapter, of this base.
        tokens: Token shards of the corpus, made with this base's tokenizer.
        perplexity: JSON file to write, in the form of `clinical_peft.training.language.pretrain`'s, with `trained`
            false.
        work: Folder for what an interrupted run has measured.
        log: Where metrics are reported.
        general: Corpus of general text, on which forgetting is measured; None if there is none.

    Returns:
        What is also written to `perplexity`.

    Raises:
        StoppedError: A signal asked the job to stop; what is measured is kept.
        TrainingError: Base, adapter and tokens do not fit each other.
    """
    reading = job.with_method(method_of_adapter(adapter))
    device = prepare_torch(job.seed, job.recipe.threads)
    shards = TokenShards(tokens, verify=True)
    inputs = read_inputs(reading, base=base, shards=shards, general=general, measured=job.recipe.general_tokens)
    network = load_frozen(reading, base, device)
    total = sum(tensor.numel() for tensor in network.parameters())
    run = language_run(reading, inputs, network, device, work=work, log=log)
    settle_loss(network, run)
    measurements = Measurements(replace(run, shards=shards), inputs.text)
    before = measurements.perplexities(network, of=BASE)
    adapted = to_device(load_adapter(network, adapter, base=inputs.identity), device)
    settle_loss(adapted, run)
    after = measurements.perplexities(adapted, of=weights_digest(adapter))
    own = sum(tensor.numel() for tensor in read_adapter_tensors(adapter).values())
    result = {
        "adapter": job.adapter,
        "trained": False,
        "base": inputs.identity.name,
        "base_revision": inputs.identity.revision,
        "method": reading.method.type,
        "corpus": Path(tokens).name,
        "trainable_parameters": own,
        "total_parameters": total + own,
        "tokens": {split: shards.summary["splits"][split]["tokens"] for split in SPLITS} | {"trained_on": 0},
        "perplexity": {"before": before.notes, "after": after.notes},
        "general": forgetting(inputs, before, after),
        "curve": [],
        **measurements.cost(LanguageState()),
        "seconds": 0.0,
        "peak_memory_bytes": peak_memory_bytes(device),
        "device": device.type,
        "attention": "packed" if run.loss.packed else "grouped",
        "job": as_record(job),
    }
    log_perplexities(log, result)
    write_json(perplexity, result)
    measurements.remove()
    return result

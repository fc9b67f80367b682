"""One forward pass over every distinct admission note, for all models whose network is frozen."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clinical_peft.errors import TrainingError
from clinical_peft.files import write_json
from clinical_peft.models.adapters import trainable_parameters
from clinical_peft.models.classifiers import build_classifier, frozen_digest
from clinical_peft.models.folders import parts_digests
from clinical_peft.models.heads import head_spread
from clinical_peft.models.positions import longest_sequence
from clinical_peft.recipes import PoolJob
from clinical_peft.recipes.families import find_family
from clinical_peft.recipes.switches import switch_on
from clinical_peft.recipes.variants import Variant
from clinical_peft.runtime.events import RunLog
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training.features import NoteFeatures, tokenise
from clinical_peft.training.optimisation import prepare_torch, to_device
from clinical_peft.training.pooled_notes import PooledBy, write_pooled
from clinical_peft.training.pooling_checks import settle_pooling
from clinical_peft.training.throughput import peak_memory_bytes

# Features depend on neither the number of classes nor the seed of the head; a network needs both to be built.
ANY_CLASSES, ANY_SEED = 2, 0


def pool_notes(
    job: PoolJob, *, cohorts: Sequence[Path], base: Path, adapter: Path | None, output: Path, record: Path, log: RunLog
) -> dict[str, Any]:
    """Compute and write the pooled features of every distinct note of some cohorts.

    Args:
        job: Settings that decide the features.
        cohorts: Cohort files of the tasks that share them.
        base: Base folder of a causal network. An encoder's features are not shared: its pooler may be drawn anew for
            every seed.
        adapter: Folder of the clinical adapter, or None.
        output: File to write; see `clinical_peft.training.pooled_notes`.
        record: JSON file of counts and times to write.
        log: Where they are reported.

    Returns:
        What is also written to `record`: notes, rows (with repetitions), tokens, seconds, tokens_per_second,
            peak_memory_bytes.

    Raises:
        TrainingError: The adapter does not fit the base, the context does not fit into it, or there is no memory for a
            single note.
    """
    if not find_family(job.family).shares_features:
        raise TrainingError(
            f"features of family {job.family}: they differ by the seed of a classifier, and are not shared"
        )
    device = prepare_torch(ANY_SEED, job.threads)
    variant = Variant(family=job.family, clinical=job.clinical_mode, pooling=job.pooling)
    classifier = build_classifier(variant, base, adapter, classes=ANY_CLASSES, seed=ANY_SEED, precision=job.precision)
    to_device(classifier.network, device)
    longest = longest_sequence(classifier.network)
    if longest is not None and job.context > longest:
        raise TrainingError(f"{base}: context is {job.context} tokens, but the base has {longest} positions; lower it")
    last_position = switch_on(job.switches, "pool_last_position")
    texts, rows = _distinct_texts(cohorts)
    notes = tokenise(texts, load_tokenizer(base), job.context, pad_with_end=last_position)
    features = NoteFeatures(classifier, notes, job, device, title="pool notes", last_position=last_position)
    settle_pooling(features)
    classifier.eval_mode()
    started = time.perf_counter()
    stored = features.all()
    seconds = time.perf_counter() - started
    head = sum(value.numel() for value in getattr(classifier.network, classifier.pooling.head).parameters())
    by = PooledBy(
        job=asdict(job),
        base=classifier.base.name,
        revision=classifier.base.revision,
        parts=parts_digests(base, adapter),
        frozen_sha256=frozen_digest(classifier),
        parameters=trainable_parameters(classifier.network)[1] - head,
        spread=head_spread(classifier.network),
    )
    write_pooled(output, texts, stored, notes.lengths, by)
    tokens = int(notes.lengths.sum())
    counts = {
        "notes": len(texts),
        "rows": rows,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / max(seconds, 1e-9),
        "peak_memory_bytes": peak_memory_bytes(device),
    }
    # The rows of all cohorts together, less those of the others, are those of a cohort that hides them.
    log.metrics({name: value for name, value in counts.items() if name != "rows"})
    write_json(record, counts)
    return counts


def _distinct_texts(cohorts: Sequence[Path]) -> tuple[list[str], int]:
    """Return the distinct notes of cohorts in order of appearance, and the number of all their rows."""
    texts: dict[str, None] = {}
    rows = 0
    for cohort in cohorts:
        column = pq.read_table(cohort, columns=["text"]).column("text")
        rows += len(column)
        for row, text in enumerate(column.to_pylist()):
            if not text or text.isspace():
                raise TrainingError(f"{cohort}, row {row}: the admission note is empty; drop it from the cohort")
            texts.setdefault(text)
    return list(texts), rows

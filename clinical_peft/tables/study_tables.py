"""Every table of a study, from its files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.files import read_json
from clinical_peft.metrics.costs import cost_table
from clinical_peft.tables.cohort_tables import build_cohort_tables
from clinical_peft.tables.contamination_table import build_contamination_table
from clinical_peft.tables.corpus_table import build_corpus_table, read_corpus_counts
from clinical_peft.tables.evidence_tables import build_evidence_tables
from clinical_peft.tables.form import Labels, Table
from clinical_peft.tables.gap_tables import protocol_gap_table
from clinical_peft.tables.metric_tables import build_metric_tables
from clinical_peft.tables.paper_tables import build_tables


@dataclass(frozen=True, kw_only=True)
class TableSources:
    """The files that a study's tables are made from.

    Attributes:
        statistics: What describes the cohorts.
        attrition: Per task, `{task}.attrition.json`.
        corpora: Run log of each corpus, `{corpus}.jsonl`.
        perplexities: Per adapter.
        metrics: Metrics files of all runs.
        replicates: Their resamples, in the same order.
        comparison: Metrics averaged and compared.
        calibration: Calibration of every run.
        subgroups: Metrics of groups of patients.
        training: Training record per model, task and seed.
        pooled: Record per set of pooled notes, `{set}.json`.
        protocol_gaps: Effects of the original's choices, or None where the study measures none.
        contamination: Effects of contaminated pretraining, likewise.
    """

    statistics: Path
    attrition: tuple[Path, ...]
    corpora: tuple[Path, ...]
    perplexities: tuple[Path, ...]
    metrics: tuple[Path, ...]
    replicates: tuple[Path, ...]
    comparison: Path
    calibration: Path
    subgroups: Path
    training: tuple[Path, ...]
    pooled: tuple[Path, ...]
    protocol_gaps: Path | None = None
    contamination: Path | None = None

    @classmethod
    def of(cls, given: object) -> "TableSources":
        """Take the files from a rule's inputs, which have these names."""

        def many(name: str) -> tuple[Path, ...]:
            found: Iterable[str] = getattr(given, name, ())
            return tuple(Path(path) for path in ([found] if isinstance(found, str) else found))

        return cls(
            statistics=many("statistics")[0],
            attrition=many("attrition"),
            corpora=many("corpora"),
            perplexities=many("perplexities"),
            metrics=many("metrics"),
            replicates=many("replicates"),
            comparison=many("comparison")[0],
            calibration=many("calibration")[0],
            subgroups=many("subgroups")[0],
            training=many("training"),
            pooled=many("pooled"),
            protocol_gaps=next(iter(many("protocol_gaps")), None),
            contamination=next(iter(many("contamination")), None),
        )


def study_tables(sources: TableSources, *, labels: Labels, protocol: str) -> dict[str, Table]:
    """Build every table of a study.

    Args:
        sources: The study's files.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        protocol: The study's protocol.

    Raises:
        DataError: A file is missing or malformed.
    """
    statistics = read_json(sources.statistics)
    perplexities = [read_json(path) for path in sources.perplexities]
    comparison = read_json(sources.comparison)
    tables = build_tables(statistics=statistics, perplexities=perplexities, aggregate=comparison, labels=labels)
    tables |= build_metric_tables([read_json(path) for path in sources.metrics], sources.replicates, labels)
    tables |= build_evidence_tables(
        aggregate=comparison,
        calibration=read_json(sources.calibration),
        subgroups=read_json(sources.subgroups),
        labels=labels,
    )
    tables |= build_cohort_tables(
        protocol=protocol,
        statistics=statistics,
        attrition={path.name.split(".")[0]: read_json(path) for path in sources.attrition},
    )
    tables["corpora"] = build_corpus_table({path.stem: read_corpus_counts(path) for path in sources.corpora})
    training = [read_json(path) for path in sources.training]
    pooled = {path.stem: read_json(path) for path in sources.pooled}
    if sources.protocol_gaps is not None:
        tables["protocol_gaps"] = protocol_gap_table(read_json(sources.protocol_gaps), labels)
    if sources.contamination is not None:
        tables["contamination_gaps"] = build_contamination_table(read_json(sources.contamination), labels)
    return tables | {"cost": cost_table(training, pooled, perplexities, labels)}

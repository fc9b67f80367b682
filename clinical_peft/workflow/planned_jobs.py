"""Which jobs a study takes, stage by stage, by asking what the rules ask."""

from clinical_peft.config import experiments, notes_in_use
from clinical_peft.config.ablations import ablation_inputs, plain
from clinical_peft.config.selected_adapters import external_adapters_in_use
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import Files, WildcardValues

GENERAL = "general"


def planned_outputs(files: StudyFiles) -> dict[str, list[str]]:
    """Name one output of every job that the workflow runs for a study, by stage.

    Args:
        files: What the rules ask of the study.

    Returns:
        Paths by stage, in the order of the workflow; each path is written by a job of its own.
    """
    study, extra = files.study, ablation_inputs(files.study)
    tasks = [*study.matrix.tasks, *extra.cohorts]
    cohorts = [WildcardValues(task=name) for name in tasks if study.table_of(name) is None]
    adapters = [WildcardValues(adapter=name) for name in (*files.adapters_on_notes, *extra.adapters)]
    runs = [*files.runs, *files.sized_runs, *extra.runs]
    tokens = _each_once(*map(files.adapter_tokens, adapters))
    bases = files.paths("bases/{}", experiments.bases_in_use(study))
    return {
        "data": _each_once(
            files.hospital if notes_in_use.reads_synthetic_notes(study) else [],
            *(_notes(files, folder) for folder in tokens),
            *map(files.cohort_notes, cohorts),
            *map(files.cohort_ventilation, cohorts),
            files.paths("imported/{}.parquet", files.tables_in_use),
            files.paths("cohorts/{}.parquet", tasks),
            files.subgroups(),
            files.carevue()[:1],
            f"{files.root}/cohorts/leakage.json",
        ),
        "bases": _each_once(bases, _general_text(files), *map(files.adapter_general_text, adapters)),
        "tokens": tokens,
        "search": [*files.best_recipes()[::2], *files.search_logs()],
        "adapters": [
            *files.paths("perplexity/{}.json", (each.adapter for each in adapters)),
            *files.paths("adapters/{}", external_adapters_in_use(study)),
        ],
        "fine-tuning": [
            *files.pooled_records(),
            *(f"{files.root}/recipes/{model}/{task}.json" for model, task in runs),
        ],
        "evaluation": [
            *files.run_files("metrics", "json", runs)[:: len(study.matrix.seeds)],
            *_of_the_whole_study(files),
        ],
    }


def _of_the_whole_study(files: StudyFiles) -> list[str]:
    """Outputs of the jobs that compare, describe and publish all runs."""
    compared = ("statistics.json", "comparison.json", "calibration.json", "subgroups.json")
    published = ("tables.json", "figures", "report.html", "runs/tracked.json", "runs/study.json")
    described = files.paths("{}", (*compared, *published))
    # All cards come from one job.
    measured = (files.protocol_gaps(), files.contamination(), files.training_size())
    return _each_once(described, files.tracked_models(), files.cards()[:1], *measured)


def _notes(files: StudyFiles, tokens: str) -> list[str]:
    """Notes that token shards are made from, and those that a pair of corpora is taken from, which one job writes."""
    corpus = tokens.rpartition("/")[2]
    if plain(corpus) in files.study.paired_corpora:
        source = files.study.cohorts.source
        return files.paths("notes/{}.parquet", (source, files.study.paired_corpora[0]))
    return [files.token_notes(WildcardValues(corpus=corpus))]


def _general_text(files: StudyFiles) -> list[str]:
    """General text that bases are trained on here."""
    scratch = any(experiments.scratch_source(files.study, base) for base in experiments.bases_in_use(files.study))
    return files.paths("notes/{}.parquet", [GENERAL] if scratch else [])


def _each_once(*groups: Files) -> list[str]:
    paths = [path for group in groups for path in ([group] if isinstance(group, str) else group)]
    return list(dict.fromkeys(paths))

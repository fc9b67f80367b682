"""How tables, cards and the report name and describe the study."""

import json

from clinical_peft.tables.registry import table_names

TABLE_NAMES = table_names(
    [
        *(["protocol_gaps"] if STUDY.gaps.model else []),
        *(["contamination"] if STUDY.gaps.contamination else []),
    ]
)
TABLE_TITLES = {
    "main": "Main comparison (Table 3)",
    "lora_baselines": "Encoders with LoRA (Table 4)",
}
TABLE_FORMATS = ["csv", "md", "tex", "html"]


def labels_of_study():
    """How models and adapters are called in print, in the order of the matrix, and their published rows."""
    labels = {}
    for name in STUDY.matrix.models:
        model = STUDY.models[name]
        labels[name] = {
            "label": model.label,
            "table": model.table,
            "published": model.published,
        }
    for name, label in experiments.adapter_labels(STUDY).items():
        adapter = STUDY.adapters[name]
        base, method = STUDY.bases[adapter.base], STUDY.methods[adapter.method]
        published = base.published and method.published
        labels[name] = {
            "label": label,
            "published": f"{base.published}/{method.published}" if published else None,
        }
    return labels


def models_by_table():
    groups = {}
    for name in STUDY.matrix.models:
        groups.setdefault(TABLE_TITLES[STUDY.models[name].table], []).append(name)
    return groups


def description_of_study():
    return {
        "study": STUDY.study,
        "protocol": STUDY.protocol,
        "contamination": STUDY.contamination,
        "split": str(STUDY.data.splits),
        "split_by_admission": [
            task for task in tasks_split_by_admission() if task in STUDY.matrix.tasks
        ],
        "cohorts": STUDY.cohorts.source,
        "synthetic": experiments.reads_synthetic_notes(STUDY),
        "hospital": experiments.reads_hospital(STUDY),
        "note_files": sorted(STUDY.data.note_files),
        "switches": STUDY.resolved_switches,
    }


def hospital_provenance():
    synthetic = experiments.reads_synthetic_notes(STUDY)
    return f"{SYNTHETIC_FOLDER}/PROVENANCE.json" if synthetic else None


def sources_of_bases():
    """Identifiers on the Hub of bases in use that come from there."""
    used = sorted(experiments.bases_in_use(STUDY))
    return {name: getattr(STUDY.bases[name].source, "id", None) for name in used}


def models_by_adapter():
    adapters = {name: [] for name in experiments.adapters_in_use(STUDY)}
    for name in STUDY.matrix.models:
        if STUDY.models[name].clinical:
            adapters[STUDY.models[name].clinical].append(name)
    return adapters


def printed_config():
    """The study's settings for the report, without the address of its tracking server."""
    return in_fixed_order(STUDY.model_dump(mode="json", exclude={"tracking": {"uri"}}))


def in_fixed_order(mapping):
    """The mapping with sorted keys, so that the order of a study file's lines makes no job run again."""
    return json.loads(json.dumps(mapping, sort_keys=True))


def mlflow_pages():
    """Address of MLflow's pages, and the command that serves them where no server does."""
    uri = tracking_uri()
    if uri.startswith("http"):
        return uri, None
    local = uri.startswith("sqlite:")
    command = f"mlflow ui --backend-store-uri {uri}" if local else None
    return ("http://127.0.0.1:5000", command) if local else (None, None)


def tracking_uri():
    return STUDY.tracking.uri or f"sqlite:///{ROOT}/mlflow.db"

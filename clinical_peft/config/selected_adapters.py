"""Which adapters a study's matrix asks for: those to train, and those that exist already."""

from collections import Counter

from clinical_peft.config.study import Study


def selected_adapters(study: Study) -> list[str]:
    """Adapters that the matrix selects or that a selected model needs, each once."""
    needed = [study.models[model].clinical for model in study.matrix.models]
    return list(dict.fromkeys([*study.matrix.adapters, *(name for name in needed if name is not None)]))


def adapters_in_use(study: Study) -> list[str]:
    """Return the selected adapters that are trained here."""
    return [name for name in selected_adapters(study) if study.adapters[name].path is None]


def adapters_on_notes(study: Study) -> list[str]:
    """Of the selected adapters those whose perplexity is measured: those to train, and some that exist already."""
    return [name for name in selected_adapters(study) if study.adapters[name].reads_notes]


def measured_adapters(study: Study) -> list[str]:
    """Of the selected adapters those that exist already and whose perplexity is measured."""
    return [name for name in selected_adapters(study) if study.adapters[name].is_measured]


def external_adapters_in_use(study: Study) -> list[str]:
    """Return the selected adapters that exist already."""
    return [name for name in selected_adapters(study) if study.adapters[name].path is not None]


def adapter_labels(study: Study) -> dict[str, str]:
    """Display labels of the adapters on notes: base and method, corpus if several are read, name if these coincide.

    The method of an adapter that exists already is not known before its files are read; its name stands in its place.
    """
    adapters = {name: study.adapters[name] for name in adapters_on_notes(study)}
    several = len({adapter.corpus for adapter in adapters.values()}) > 1
    labels = {
        name: f"{study.bases[adapter.base].label}: {name if adapter.path else study.method_of(name).label}"
        + (f", {adapter.corpus}" if several else "")
        for name, adapter in adapters.items()
    }
    shared = Counter(labels.values())
    return {name: f"{label} ({name})" if shared[label] > 1 else label for name, label in labels.items()}

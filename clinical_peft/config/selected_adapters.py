"""Which adapters a study's matrix asks for: those to train, and those that exist already."""

from clinical_peft.config.study import Study


def selected_adapters(study: Study) -> list[str]:
    """Adapters that the matrix selects or that a selected model needs, each once."""
    needed = [study.models[model].clinical for model in study.matrix.models]
    return list(dict.fromkeys([*study.matrix.adapters, *(name for name in needed if name is not None)]))


def adapters_in_use(study: Study) -> list[str]:
    """Return the selected adapters that are trained here."""
    return [name for name in selected_adapters(study) if study.adapters[name].path is None]


def external_adapters_in_use(study: Study) -> list[str]:
    """Return the selected adapters that exist already."""
    return [name for name in selected_adapters(study) if study.adapters[name].path is not None]

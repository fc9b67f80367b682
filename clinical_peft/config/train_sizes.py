"""Runs on parts of the training split, which `matrix.train_sizes` asks for beside those on the whole."""

from clinical_peft.config.ablations import with_size
from clinical_peft.config.experiments import runs_in_use
from clinical_peft.config.study import Study


def sized_runs(study: Study) -> list[tuple[str, str]]:
    """Model, its name carrying a size, and task of every run on a part, the smallest parts of a run first."""
    return [(with_size(model, size), task) for model, task in runs_in_use(study) for size in study.matrix.smaller_sizes]

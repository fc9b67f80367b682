"""Made-up effects of the training size, as training_size.json holds them."""

from typing import Any

from clinical_peft.metrics.comparison_records import Difference, Summary
from clinical_peft.metrics.training_size_records import TrainingPart, TrainingSizes, WholeSize

ROWS = {100: 104, 1000: 1001, None: 5200}


def part(model: str, task: str, size: int | None, value: float, **changes: Any) -> TrainingPart:
    """A model's row: intervals reach 2 points to either side."""
    ends = (value - 0.02, value + 0.02)
    loss = None if size is None else Difference(difference=value - 0.8, interval_total=(value - 0.83, value - 0.77))
    settings: dict[str, Any] = {"train_rows": ROWS[size], "train_patients": ROWS[size], "p_holm": 0.01}
    return TrainingPart(
        model=model,
        task=task,
        size=size,
        mean=Summary(model=model, task=task, value=value, seeds=2, interval=ends, interval_total=ends),
        difference=loss,
        significant=size == 100,
        **settings | changes,
    )


def sizes_of(*rows: TrainingPart, whole: list[WholeSize] | None = None) -> dict[str, Any]:
    """Content of the file."""
    return TrainingSizes(level=0.95, resamples=100, rows=list(rows), whole=whole or []).to_json()

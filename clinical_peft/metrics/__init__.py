"""From predictions to metrics with intervals."""

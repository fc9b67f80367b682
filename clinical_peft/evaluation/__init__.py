"""From predictions to metrics with intervals, and from metrics to tables, figures and the report."""

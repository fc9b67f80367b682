"""From metrics to tables."""

"""From predictions and metrics to figures."""

"""Hyperparameter search: spaces as data, trials kept through kills, the best recipe for the final training."""

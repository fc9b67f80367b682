"""Checks before the first job: the study file, and everything that the study names."""

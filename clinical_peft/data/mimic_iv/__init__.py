"""Outcome cohorts from MIMIC-IV (hosp and icu tables) and MIMIC-IV-Note (docs/mimic-iv.md)."""

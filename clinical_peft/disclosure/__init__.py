"""Rules for publishing counts and metrics of groups of patients."""

"""Run logs and finished studies in MLflow."""

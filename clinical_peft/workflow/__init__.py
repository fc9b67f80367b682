"""What the workflow asks before its first job: the study file, and everything that the study names."""

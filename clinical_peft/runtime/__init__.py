"""How a job runs: its frame, private process, run log and progress."""

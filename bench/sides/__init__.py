"""Who takes part in the contests, and how each hands in and runs jobs."""

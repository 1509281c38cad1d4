"""Jobs, tasks and workers as they are looked at."""

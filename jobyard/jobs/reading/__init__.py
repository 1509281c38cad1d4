"""Queries for jobs, tasks, queues and workers, and what processes announce about themselves."""

"""Stands before psutil, which pytest-celery brings along: what a production lacks, tests' processes lack."""

raise ImportError("psutil is no package of the yard's")

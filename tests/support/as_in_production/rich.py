"""Stands before rich, which import-linter brings along: what a production lacks, tests' processes lack."""

raise ImportError("rich is no package of the yard's")

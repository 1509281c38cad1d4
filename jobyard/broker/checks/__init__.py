"""Checks, when a process starts, that the settings lead to the right and reachable servers."""

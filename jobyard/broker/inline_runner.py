"""Finds what runs jobs where they are handed in, in a process that was told to.

It is looked up by its name, so that any other program that hands jobs in loads nothing that runs them.
"""

from importlib import import_module
from typing import Any


def inline_runner() -> Any:
    """Return the module `jobyard.worker.inline`."""
    return import_module("jobyard.worker.inline")

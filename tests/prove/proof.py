"""What a proof is, and what it has to say."""

from collections.abc import Callable
from typing import NamedTuple


class Finding(NamedTuple):
    """How a proof went: whether it holds, its size and what was found in a few words, and the report."""

    holds: bool
    summary: str
    report: str = ""


class Proof(NamedTuple):
    """A proof by its name; `run` takes the seconds that it may take, and the seed of its dice."""

    name: str
    seconds: float
    run: Callable[[float, int], Finding]

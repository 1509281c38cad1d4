"""What both sides of `bench.converting` tell of the pictures that they have converted."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple


class Converted(NamedTuple):
    """When one conversion began and ended, in seconds on one clock, and the bytes of what was made."""

    began: float
    ended: float
    size: int


@dataclass(frozen=True)
class Turn:
    """So many pictures from the first that began to the last that ended, and the bytes that were made.

    The CPU time is that of all processes that had a part in it, less that of who handed them in.
    """

    pictures: int
    seconds: float
    made_bytes: int
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.pictures / self.seconds


def report(converted: Sequence[Converted], cpu_seconds: float = 0.0) -> None:
    """Print one turn as one line of JSON."""
    seconds = max(one.ended for one in converted) - min(one.began for one in converted)
    turn = Turn(len(converted), seconds, sum(one.size for one in converted), cpu_seconds)
    print(json.dumps(asdict(turn)))


def read_report(printed: str) -> Turn:
    return Turn(**json.loads(printed.splitlines()[-1]))

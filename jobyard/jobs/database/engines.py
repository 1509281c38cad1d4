"""The engines that a ledger's database is used through: one for reading, and those for what is written."""

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from sqlalchemy import Engine

# The execution option of connections that only read.
READS: Final = "jobyard_reads"


class Outlives(Enum):
    """What a commit outlives that was answered."""

    POWER = auto()  # a power cut: it is on disk
    # Every worker. On SQLite all are processes of the ledger's own machine and end with it, so what is about
    # them need not wait for the disk; on PostgreSQL a worker elsewhere would go on (docs/decisions/0022).
    WORKERS = auto()


class Engines(NamedTuple):
    """For reading, for transactions, and for statements that are committed by themselves."""

    reader: Engine
    transactions: Engine
    statements: Mapping[Outlives, Engine]

    def all(self) -> Iterator[Engine]:
        """Yield each engine once."""
        yield from {self.reader, self.transactions, *self.statements.values()}

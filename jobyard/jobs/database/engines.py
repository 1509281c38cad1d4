"""The SQLAlchemy engines for a ledger's database: one that reads, and several that write."""

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from sqlalchemy import Engine

# The execution option that marks connections which only read.
READ_ONLY: Final = "jobyard_reads"


class Durability(Enum):
    """What a commit survives once the caller has its answer."""

    FULL = auto()  # even a power cut: the commit is on disk
    # Everything but a power cut, on SQLite: workers run on the ledger's own machine and end with it, so a
    # commit about what they run need not wait for the disk. On PostgreSQL workers elsewhere would go on, so
    # there these commits are on disk, too (docs/decisions/0022).
    UNTIL_POWER_CUT = auto()


class Engines(NamedTuple):
    """The engine that reads, the one for transactions, and those for `CommittedStatement`s by durability."""

    reader: Engine
    transactions: Engine
    statements: Mapping[Durability, Engine]

    def all(self) -> Iterator[Engine]:
        """Yield each engine once."""
        yield from {self.reader, self.transactions, *self.statements.values()}

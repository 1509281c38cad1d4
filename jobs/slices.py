"""Long lists of ids, cut so that each part fits one statement."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

# PostgreSQL takes 65,535 parameters in one statement, SQLite as few as 32,766; an id of ours takes up to two.
MOST_IN_ONE_STATEMENT: Final = 10_000


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), MOST_IN_ONE_STATEMENT):
        yield items[start : start + MOST_IN_ONE_STATEMENT]

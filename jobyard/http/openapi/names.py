"""Names in the OpenAPI document: each is given out once."""

from collections.abc import Iterable
from itertools import chain, count


class Names:
    """Gives out names that are not taken, with a number at the end where they are."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, name: str) -> str:
        candidates = chain([name], (f"{name}_{number}" for number in count(2)))
        free = next(candidate for candidate in candidates if candidate not in self._taken)
        self._taken.add(free)
        return free

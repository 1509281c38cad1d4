"""Names in the OpenAPI document: each is given out once, in whatever way a client spells it."""

from collections.abc import Iterable
from itertools import chain, count


class Names:
    """Gives out names that are not taken, with a number at the end where they are."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {_spelt(name) for name in taken}

    def new(self, name: str) -> str:
        candidates = chain([name], (f"{name}_{number}" for number in count(2)))
        free = next(candidate for candidate in candidates if _spelt(candidate) not in self._taken)
        self._taken.add(_spelt(free))
        return free


def _spelt(name: str) -> str:
    # Generated clients make class names, functions and files of one name: `AddJob`, `add_job`.
    return "".join(letter for letter in name.lower() if letter.isalnum())

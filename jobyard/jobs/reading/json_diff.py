"""What differs between two JSON documents, as a list that a person can read."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One place, as a JSON Pointer (RFC 6901), with what was there and what is; None where nothing is."""

    path: str
    before: Any
    after: Any


def difference(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return every place in which two JSON documents differ, the deepest that can be named."""
    return [asdict(change) for change in _changes("", before, after)]


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _changes(_below(path, key), before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            old, new = _at(before, place), _at(after, place)
            yield from _changes(_below(path, str(place)), old, new)
    elif type(before) is not type(after) or before != after:
        yield Change(path, None if before is _ABSENT else before, None if after is _ABSENT else after)


def _at(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else _ABSENT


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"

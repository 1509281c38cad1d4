"""Lists the differences between two JSON documents, for a person to read."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A place, as a JSON Pointer (RFC 6901), with the values before and after; None stands for no value."""

    path: str
    before: Any
    after: Any


def difference(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return every place in which two JSON documents differ, as deep in the documents as possible."""
    return [asdict(change) for change in _changes("", before, after)]


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _changes(_below(path, key), before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old, new = _at(before, index), _at(after, index)
            yield from _changes(_below(path, str(index)), old, new)
    elif type(before) is not type(after) or before != after:
        yield Change(path, None if before is _ABSENT else before, None if after is _ABSENT else after)


def _at(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else _ABSENT


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"

"""The type of arguments whose parameter says nothing about them: what JSON itself can say.

Pydantic writes a date under `Any` as text, and reads text again. So a value that would arrive as another one
is refused where it is handed in.
"""

import json
from collections.abc import Mapping
from types import GenericAlias, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BeforeValidator

# Pydantic reads JSON of at most 200 levels; the others are left for what is around an argument.
MOST_NESTED: Final = 190


def plain_json(value: Any) -> Any:
    """Return a value as its JSON reads: tuples as lists, keys as text, subclasses of `str` as `str`.

    Raises `ValueError` for a value that JSON has no word for.
    """
    try:
        return _plain(value, MOST_NESTED)
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> ValueError:
    return ValueError("is nested too deeply, or holds itself")


def _plain(value: Any, levels: int) -> Any:
    if not levels:
        raise _too_deep()
    match value:
        case None | bool():
            return value
        case str():
            return value if type(value) is str else str.__str__(value)
        case int():
            return value if type(value) is int else int(value)
        case float():
            return value if type(value) is float else float(value)
        case list() | tuple():
            return [_plain(item, levels - 1) for item in value]
        case Mapping():
            return {_key(key): _plain(item, levels - 1) for key, item in value.items()}
    raise ValueError(
        f"holds a {type(value).__qualname__}, which JSON has no word for: annotate the parameter with its "
        "type, or give text, numbers, lists and dictionaries"
    )


def _key(key: Any) -> str:
    match key:
        case str():
            text = str.__str__(key)
            text.encode()  # pydantic would write another key where half of a surrogate pair cannot be written
            return text
        case None | bool() | int() | float():
            return json.dumps(_plain(key, 1))
    raise ValueError(f"holds a dictionary with the key {key!r:.100}: keys are text in JSON")


Json = Annotated[Any, BeforeValidator(plain_json)]
_UNTOLD: Final = (list, dict, tuple)


def with_json(annotation: Any) -> Any:
    """Return an annotation in which every `Any`, and every container of unknown contents, is plain JSON."""
    if annotation is Any or annotation is object:
        return Json
    if annotation in _UNTOLD:
        # What it holds is JSON; what it is stays: a tuple arrives as a tuple.
        return Annotated[annotation, BeforeValidator(_contents_as_json)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[with_json(arguments[0]), *arguments[1:]]
    if origin in (Union, UnionType):
        return Union[tuple(with_json(argument) for argument in arguments)]  # noqa: UP007 - made at run time
    if isinstance(annotation, GenericAlias) and origin in _CONTAINERS:
        return GenericAlias(origin, tuple(_argument(argument) for argument in arguments))
    return annotation


_CONTAINERS: Final = (list, dict, tuple, set, frozenset)


def _argument(argument: Any) -> Any:
    return argument if argument is Ellipsis else with_json(argument)


def _contents_as_json(value: Any) -> Any:
    plain = plain_json(value)
    return tuple(plain) if isinstance(value, tuple) else plain

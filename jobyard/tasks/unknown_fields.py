"""Finds unknown fields in JSON by pydantic's schema, without an error of pydantic's for each of them.

A million of them take pydantic a quarter of a minute and a gigabyte, during which nothing else runs. What is
found here is certainly wrong; what may be right, as beneath a validator that changes its input, is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

Location = tuple[str | int, ...]

# A schema of one of these kinds takes the JSON that the schema in it takes.
_TRANSPARENT: Final = frozenset({"default", "nullable", "function-after"})


def unknown_fields(model: type[BaseModel], value: Any, location: Location = ()) -> Iterator[Location]:
    """Yield where a value read from JSON has fields that a model refuses."""
    schema: Any = model.__pydantic_core_schema__
    definitions = {}
    if schema["type"] == "definitions":
        definitions = {part["ref"]: part for part in schema["definitions"]}
        schema = schema["schema"]
    return _in(schema, value, location, definitions)


def most_fields(model: type[BaseModel]) -> int:
    """Return how many fields an object in the JSON of a model can have, where none of it is a mapping."""
    return max(_field_counts(model.__pydantic_core_schema__), default=0)


def _in(schema: Any, value: Any, location: Location, definitions: Mapping[str, Any]) -> Iterator[Location]:
    match schema, value:
        case {"type": kind, "schema": inner}, _ if kind in _TRANSPARENT:
            yield from _in(inner, value, location, definitions)
        case {"type": "definition-ref", "schema_ref": name}, _ if name in definitions:
            yield from _in(definitions[name], value, location, definitions)
        case {"type": "list", "items_schema": item}, list():
            for position, element in enumerate(value):
                yield from _in(item, element, (*location, position), definitions)
        case {"type": "tuple", "items_schema": [item], "variadic_item_index": 0}, list():
            for position, element in enumerate(value):
                yield from _in(item, element, (*location, position), definitions)
        case {
            "type": "model",
            "schema": {"type": "model-fields", "fields": fields},
            "config": config,
        }, dict():
            yield from _in_model(fields, config, value, location, definitions)


def _in_model(
    fields: Mapping[str, Any],
    config: Mapping[str, Any],
    value: Mapping[str, Any],
    location: Location,
    definitions: Mapping[str, Any],
) -> Iterator[Location]:
    by_name: dict[str, Any] = {}
    for name, field in fields.items():
        alias = field.get("validation_alias", name)
        if not isinstance(alias, str):
            return  # one of several, or a path
        by_name |= {alias: field["schema"], name: field["schema"]}
    refuses = config.get("extra_fields_behavior") == "forbid"
    for name, part in value.items():
        if name in by_name:
            yield from _in(by_name[name], part, (*location, name), definitions)
        elif refuses:
            yield (*location, name)


def _field_counts(part: Any) -> Iterator[int]:
    match part:
        case {"type": "model-fields", "fields": fields}:
            yield len(fields)
            for field in fields.values():
                yield from _field_counts(field)
        case dict():
            for inner in part.values():
                yield from _field_counts(inner)
        case list() | tuple():
            for inner in part:
                yield from _field_counts(inner)

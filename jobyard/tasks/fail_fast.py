"""Validates large JSON, and stops in each list at the first element that is wrong.

pydantic builds an error for every wrong element. Of a megabyte of wrong elements those take seconds, and
hundreds of megabytes.
"""

from typing import Any, Final

from pydantic_core import CoreSchema, SchemaValidator

# Larger JSON is validated by these validators, and not on an event loop.
LARGE_JSON_BYTES: Final = 8 * 1024
_SEQUENCES: Final = frozenset({"list", "tuple", "set", "frozenset", "generator"})
# Parts of a core schema that are no schemas, although they may look like some.
_OTHER_PARTS: Final = frozenset({"default", "expected", "members", "metadata", "serialization"})


def fail_fast_validator(schema: CoreSchema) -> SchemaValidator:
    """Return a validator that reports no more than one wrong element of each list in the schema."""
    return _validator(_failing_fast(schema))


def fail_fast_in_elements(schema: CoreSchema) -> SchemaValidator:
    """Like `fail_fast_validator`, for the schema of a list of which every wrong element is reported."""
    changed = _failing_fast(schema)
    outermost = changed["schema"] if changed["type"] == "definitions" else changed
    outermost["fail_fast"] = False
    return _validator(changed)


def _validator(schema: Any) -> SchemaValidator:
    # Otherwise each model in the schema would be validated by the validator that it has already.
    return SchemaValidator(schema, _use_prebuilt=False)


def _failing_fast(part: Any) -> Any:
    match part:
        case {"type": str() as kind}:
            changed = {
                key: value if key in _OTHER_PARTS else _failing_fast(value) for key, value in part.items()
            }
            return changed | {"fail_fast": True} if kind in _SEQUENCES else changed
        case dict():  # of fields, whose names may be any
            return {name: _failing_fast(value) for name, value in part.items()}
        case list() | tuple():
            return type(part)(_failing_fast(value) for value in part)
        case _:
            return part

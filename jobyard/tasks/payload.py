"""The base model of payloads: strict about its fields, frozen, and storable in any database."""

from collections.abc import Iterator
from math import isfinite
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from jobyard.jobs.errors import FileNotStoredError

FILE_ID_FORMAT = "file-id"
NUL = "\x00"


class Payload(BaseModel):
    """The base of every task's payload model: no unknown fields, no NaN, no NUL characters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        for part in _parts_of(value) if isinstance(value, (dict, list, tuple)) else (value,):
            match part:
                # PostgreSQL cannot store a NUL in text, and both ledgers must accept the same payloads.
                case str() if NUL in part:
                    raise ValueError("holds a NUL character (\\u0000), which cannot be stored")
                # 1e999 is read as infinity, and would be stored as null.
                case float() if not isfinite(part):
                    raise ValueError("holds a number that is not finite, which JSON cannot write")
        return value


def is_storable_check(function: Any) -> bool:
    """Tell whether a validator in pydantic's schema is the one that every payload has for each field."""
    return getattr(function, "__func__", None) is Payload._can_be_stored.__func__  # type: ignore[attr-defined]


def _parts_of(value: object) -> Iterator[object]:
    # A list instead of recursion, because the caller decides how deep a payload is nested.
    rest = [value]
    while rest:
        match rest.pop():
            case dict() as items:
                rest += [*items.keys(), *items.values()]
            case list() | tuple() as items:
                rest += items
            case part:
                yield part


def _is_stored(file_id: str, info: ValidationInfo) -> str:
    # Only the code that accepts jobs passes a store; a running job notices a missing file when it reads it.
    store = (info.context or {}).get("files")
    if store is not None:
        try:
            store.describe(file_id)
        except FileNotStoredError as error:
            raise ValueError(f"{error}; upload it first with POST /v1/files") from None
    return file_id


FileId = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
    AfterValidator(_is_stored),
    WithJsonSchema(
        {"type": "string", "format": FILE_ID_FORMAT, "description": "The id of an uploaded file."}
    ),
]

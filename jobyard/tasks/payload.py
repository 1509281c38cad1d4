"""The base model of payloads: strict about its fields, frozen, and storable in any database."""

from collections.abc import Iterator
from math import isfinite
from pathlib import PurePath
from typing import Annotated, Any, Final

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
_FILE_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NUL = "\x00"
# Python reads no number of more digits (CVE-2020-10735), although pydantic writes it.
MAX_DIGITS: Final = 4300
MAX_INTEGER_BITS: Final = (10**MAX_DIGITS).bit_length() - 1


class Payload(BaseModel):
    """The base of every task's payload model: no unknown fields, no NaN, no NUL characters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # After the field's own validation, because pydantic takes no other validator at a union's discriminator.
    @field_validator("*", mode="after")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        for part in _parts_of(value) if isinstance(value, _WITH_PARTS) else (value,):
            match part:
                # PostgreSQL cannot search JSON with a NUL, and both ledgers must accept the same payloads.
                case str() | PurePath() if NUL in str(part):
                    raise ValueError("holds a NUL character (\\u0000), which cannot be stored")
                # 1e999 is read as infinity, and would be stored as null.
                case float() if not isfinite(part):
                    raise ValueError("holds a number that is not finite, which JSON cannot write")
                case int() if part.bit_length() > MAX_INTEGER_BITS:
                    raise ValueError(
                        f"holds a number of {MAX_DIGITS} digits or more, which cannot be read again"
                    )
        return value


_WITH_PARTS: Final = (dict, list, tuple, set, frozenset, BaseModel)


def _parts_of(value: object) -> Iterator[object]:
    # A list instead of recursion, because the caller decides how deep a payload is nested.
    rest = [value]
    while rest:
        match rest.pop():
            case dict() as items:
                rest += [*items.keys(), *items.values()]
            case list() | tuple() | set() | frozenset() as items:
                rest += items
            case BaseModel() as model:
                rest += model.__dict__.values()
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
    Field(pattern=_FILE_ID),
    AfterValidator(_is_stored),
    WithJsonSchema(
        {
            "type": "string",
            "format": FILE_ID_FORMAT,
            "pattern": _FILE_ID,
            "description": "The id of an uploaded file.",
        }
    ),
]

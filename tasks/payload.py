"""What every payload is: strict about its fields, frozen, and storable in any database."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from jobs.errors import FileNotStoredError

FILE_ID_FORMAT = "file-id"
NUL = "\x00"


class Payload(BaseModel):
    """The base of every task's payload model: no unknown fields, no NaN, no NUL characters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _holds_no_nul(cls, data: Any) -> Any:
        # PostgreSQL stores no NUL in text or jsonb, so such a payload could be accepted on one ledger alone.
        if isinstance(data, dict):
            for field, value in data.items():
                if _has_nul(value):
                    raise ValueError(f"{field} holds a NUL character (\\u0000), which cannot be stored")
        return data


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return NUL in value
        case dict():
            return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
        case list() | tuple():
            return any(_has_nul(item) for item in value)
    return False


def _is_stored(file_id: str, info: ValidationInfo) -> str:
    # Only where a job is accepted is there a store to ask; a job that runs finds out when it reads.
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

"""The headers of a call: what a caller gives a job on its way besides the payload, as JSON text."""

from collections.abc import Mapping
from typing import Annotated, Final

import pydantic_core
from pydantic import BeforeValidator, Field

from jobyard.jobs.job import MOST_HEADER_BYTES

_PLAIN: Final = (str, int, float, bool)


def _as_json(headers: object) -> object:
    if headers is None:
        return None
    if isinstance(headers, str):
        _check_size(headers)
        try:
            headers = pydantic_core.from_json(headers, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(f"must be a JSON object: {error}") from None
    if not isinstance(headers, Mapping):
        raise ValueError("must be an object of names and values")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, _PLAIN):
            raise ValueError(
                f"{str(name)[:100]!r}: names are strings, and values strings, numbers or booleans, not "
                f"{type(value).__name__}: put anything larger into the payload"
            )
    try:
        text = pydantic_core.to_json(dict(headers), inf_nan_mode="constants").decode()
        pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"cannot be written as JSON: {error}") from None
    _check_size(text)
    return text


def _check_size(text: str) -> None:
    size = len(text.encode(errors="replace"))
    if size > MOST_HEADER_BYTES:
        raise ValueError(
            f"has {size} bytes as JSON, more than {MOST_HEADER_BYTES}: put large values into the payload"
        )


# Given as a mapping, or as the JSON text of an object; held as text, which is how a job carries it.
HeadersText = Annotated[
    str, BeforeValidator(_as_json), Field(json_schema_extra={"contentMediaType": "application/json"})
]

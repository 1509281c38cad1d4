"""Refuses a header that is given twice where one value counts: the caller may have meant either."""

from http import HTTPStatus
from typing import Final

from fastapi import Request

from jobyard.http.errors import Problem

# `Prefer` is a list, and may be given more than once.
SINGLE_HEADERS: Final = ("Authorization", "Content-Type", "Host", "Idempotency-Key", "X-API-Key")


async def check_headers(request: Request) -> None:
    """Raise a 400 `Problem` for a repeated header."""
    for name in SINGLE_HEADERS:
        if len(request.headers.getlist(name)) > 1:
            detail = f"{name} is given more than once: send it once"
            raise Problem(HTTPStatus.BAD_REQUEST, detail, kind="repeated-header", field=name)

"""Cursors as callers see them: with a checksum, so that an altered cursor is refused and not followed."""

from typing import Annotated
from zlib import crc32

from pydantic import AfterValidator, Field


def seal(cursor: str | None) -> str | None:
    """Return a cursor of the ledger with a checksum in front of it."""
    return None if cursor is None else f"{crc32(cursor.encode()):08x}{cursor}"


def _unseal(sealed: str) -> str:
    cursor = sealed[8:]
    if seal(cursor) != sealed:
        raise ValueError("not a cursor of this list: use next_cursor as it was given")
    return cursor


Cursor = Annotated[
    str,
    Field(max_length=100, description="The `next_cursor` of the page before."),
    AfterValidator(_unseal),
]

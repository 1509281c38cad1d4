"""Finds out what a body is, and reads it accordingly."""

import codecs
import re
from math import isfinite
from typing import Any

import pydantic_core

from jobyard.fetching.fetch import Fetched
from tasks.collect.documents import Document, Kind, Parsed
from tasks.collect.feeds import NotAFeedError, read_feed
from tasks.collect.limits import RESULT_BYTES, storable
from tasks.collect.pages import TangledPageError, read_page
from tasks.collect.tables import read_table

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_FEED_START = re.compile(rb"<(rss|feed|rdf:RDF)[\s>]")
_LOOKED_AT = 2048
# pydantic reads JSON of 200 levels, and a result must be read again with a few levels around it.
_DEEPEST = 190
# A byte order mark tells more than a header does (WHATWG Encoding, "decode").
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class UnreadableError(ValueError):
    """The body is not what it was said to be."""


def kind_of(fetched: Fetched) -> Kind:
    """Return what a body is by its media type, and by its first bytes where that says little."""
    media_type = fetched.media_type
    start = fetched.body[:_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n")
    if media_type in ("application/rss+xml", "application/atom+xml") or (
        "xml" in media_type and "html" not in media_type and _FEED_START.search(start)
    ):
        return Kind.FEED
    if "html" in media_type or (not media_type and start[:1] == b"<"):
        return Kind.FEED if not media_type and _FEED_START.search(start) else Kind.HTML
    if media_type == "application/json" or media_type.endswith("+json"):
        return Kind.JSON
    if media_type in ("text/csv", "text/tab-separated-values"):
        return Kind.CSV
    return Kind.RAW


def parse(fetched: Fetched, kind: Kind) -> Parsed | None:
    """Return what a body says, or None for a raw one; raises `UnreadableError`."""
    match kind:
        case Kind.HTML:
            try:
                return read_page(decoded(fetched), fetched.url)
            except TangledPageError as error:
                raise UnreadableError(str(error)) from error
        case Kind.JSON:
            return _read_json(fetched.body)
        case Kind.FEED:
            try:
                return read_feed(fetched.body)
            except NotAFeedError as error:
                raise UnreadableError(str(error)) from error
        case Kind.CSV:
            return read_table(decoded(fetched))
    return None


def decoded(fetched: Fetched) -> str:
    """Return the body as text: by its byte order mark, the header's charset, the page's own, as UTF-8, or
    else as Windows-1252."""
    marked = [codec for mark, codec in _MARKS.items() if fetched.body.startswith(mark)]
    named = _CHARSET.findall(fetched.headers.get("content-type", ""))[:1]
    in_page = _CHARSET.findall(fetched.body[:_LOOKED_AT].decode("ascii", "ignore"))[:1]
    for name in (*marked, *named, *in_page, "utf-8"):
        try:
            return storable(fetched.body.decode(name))
        except (UnicodeError, LookupError):  # some of Python's codecs raise the plain UnicodeError
            continue
    return storable(fetched.body.decode("windows-1252", "replace"))


def _read_json(body: bytes) -> Document:
    try:
        value = pydantic_core.from_json(body.removeprefix(codecs.BOM_UTF8), allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableError(f"not JSON: {error}") from error
    if len(body) > RESULT_BYTES:
        return Document(value=None, truncated=True)
    value = _storable(value, _DEEPEST)
    is_too_large = len(pydantic_core.to_json(value)) > RESULT_BYTES  # 1e15 is written out in full
    return Document(value=None if is_too_large else value, truncated=is_too_large)


def _storable(value: Any, levels: int) -> Any:
    match value:
        case str():
            return storable(value)
        case float() if not isfinite(value):  # from 1e400; it would be stored as null
            raise UnreadableError("holds a number that is too large")
        case dict() | list() if levels == 0:
            raise UnreadableError(f"nested deeper than {_DEEPEST} levels")
        case dict():
            return {storable(key): _storable(item, levels - 1) for key, item in value.items()}
        case list():
            return [_storable(item, levels - 1) for item in value]
    return value

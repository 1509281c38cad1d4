"""Finds out what a body is, and reads it accordingly."""

import re
from enum import StrEnum
from typing import Any

import pydantic_core

from tasks.payload import NUL, Payload
from tasks.web.feeds import Feed, NotAFeedError, read_feed
from tasks.web.fetch import Fetched
from tasks.web.limits import RESULT_BYTES
from tasks.web.pages import Page, read_page
from tasks.web.tables import Table, read_table

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_FEED_START = re.compile(rb"<(rss|feed|rdf:RDF)[\s>]")
_LOOKED_AT = 2048


class Kind(StrEnum):
    AUTO = "auto"
    HTML = "html"
    JSON = "json"
    FEED = "feed"
    CSV = "csv"
    RAW = "raw"


class Document(Payload):
    """A JSON document; null and truncated where it is larger than a result may be."""

    value: Any
    truncated: bool


Parsed = Page | Feed | Table | Document


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
            return read_page(decoded(fetched), fetched.url)
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
    """Return the body as text, by the header's charset, the page's own, UTF-8, or else Windows-1252."""
    named = _CHARSET.search(fetched.headers.get("content-type", ""))
    in_page = _CHARSET.search(fetched.body[:_LOOKED_AT].decode("ascii", "ignore"))
    for name in (named and named[1], in_page and in_page[1], "utf-8-sig"):
        if name:
            try:
                return fetched.body.decode(name)
            except (UnicodeDecodeError, LookupError):
                continue
    return fetched.body.decode("windows-1252", "replace")


def _read_json(body: bytes) -> Document:
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)  # refuses NaN, and more than 200 levels
    except ValueError as error:
        raise UnreadableError(f"not JSON: {error}") from error
    if len(body) > RESULT_BYTES:
        return Document(value=None, truncated=True)
    return Document(value=_storable(value), truncated=False)


def _storable(value: Any) -> Any:
    match value:
        case str():
            return value.replace(NUL, "�")
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list():
            return [_storable(item) for item in value]
    return value

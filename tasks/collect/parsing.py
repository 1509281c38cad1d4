"""Finds out the kind of a body, and parses it."""

import codecs
import re
from math import isfinite
from typing import Any

import pydantic_core

from jobyard.fetching.fetch import Fetched
from tasks.collect.documents import Document, Kind, Parsed
from tasks.collect.encodings import declared_in_html, declared_in_xml, decode
from tasks.collect.feeds import NotAFeedError, read_feed
from tasks.collect.limits import RESULT_BYTES, make_storable
from tasks.collect.outlines import TangledError, outline
from tasks.collect.pages import read_page
from tasks.collect.tables import read_table

_SNIFFED_BYTES = 2048
# What may stand before the first element, and then the name of that element.
_FIRST_ELEMENT = re.compile(
    r"(?>\s+|<\?.*?\?>|<!--.*?-->|<!(?!--)[^>\[]*(?:\[[^\]]*\]\s*)?>)*<(?:[\w-]+:)?([\w-]+)[\s/>]", re.DOTALL
)
_RSS_1_NAMESPACES = ("http://purl.org/rss/1.0/", "http://my.netscape.com/rdf/simple/0.9/")
_FEED_TYPES = ("application/rss+xml", "application/atom+xml")
# Servers that know nothing of feeds send them as these types.
_UNSPECIFIC_TYPES = ("", "text/html", "text/plain", "application/octet-stream", "binary/octet-stream")
# pydantic reads JSON of up to 200 levels, and a result adds a few levels around the document.
_DEEPEST = 190


class UnreadableError(ValueError):
    """The body cannot be parsed as its kind."""


def kind_of(fetched: Fetched) -> Kind:
    """Return a body's kind by its media type, and by its first bytes where the type is unspecific."""
    media_type = fetched.media_type
    is_xml = "xml" in media_type and "html" not in media_type
    if media_type in _FEED_TYPES or (
        (is_xml or media_type in _UNSPECIFIC_TYPES) and _starts_as_feed(fetched)
    ):
        return Kind.FEED
    start = fetched.body[:_SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if "html" in media_type or (not media_type and start[:1] == b"<"):
        return Kind.HTML
    if media_type == "application/json" or media_type.endswith("+json"):
        return Kind.JSON
    if media_type in ("text/csv", "text/tab-separated-values"):
        return Kind.CSV
    return Kind.RAW


def _starts_as_feed(fetched: Fetched) -> bool:
    # As browsers do (https://mimesniff.spec.whatwg.org/#sniffing-a-mislabeled-feed).
    content_type = fetched.headers.get("content-type", "")
    start = decode(fetched.body[:_SNIFFED_BYTES], content_type, declared_in_xml)
    element = _FIRST_ELEMENT.match(start)
    match element and element[1]:
        case "rss" | "feed":
            return True
        case "RDF":  # the root of other data as well
            return any(namespace in start for namespace in _RSS_1_NAMESPACES)
    return False


def parse(fetched: Fetched, kind: Kind) -> Parsed | None:
    """Return a body's parsed content, or None for a raw one; raises `UnreadableError`."""
    content_type = fetched.headers.get("content-type", "")
    try:
        match kind:
            case Kind.HTML:
                return read_page(decode(fetched.body, content_type, declared_in_html), fetched.url)
            case Kind.JSON:
                return _read_json(fetched.body)
            case Kind.FEED:
                return read_feed(decode(fetched.body, content_type, declared_in_xml), fetched.url)
            case Kind.CSV:
                return read_table(decode(fetched.body, content_type), fetched.media_type)
    except (NotAFeedError, TangledError) as error:
        raise UnreadableError(str(error)) from error
    return None


def _read_json(body: bytes) -> Document:
    body = body.removeprefix(codecs.BOM_UTF8)
    if len(body) > RESULT_BYTES:
        return _check_large_json(body)
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableError(f"not JSON: {error}") from error
    value = _make_storable(value, _DEEPEST)
    is_too_large = len(pydantic_core.to_json(value)) > RESULT_BYTES  # 1e15 is written with all its digits
    return Document(value=None if is_too_large else value, truncated=is_too_large)


def _check_large_json(body: bytes) -> Document:
    try:
        fault = outline("json", body.decode(), "")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not JSON: {error}") from error
    if fault is not None:
        raise UnreadableError(f"not JSON: {fault}")
    return Document(value=None, truncated=True)


def _make_storable(value: Any, levels: int) -> Any:
    match value:
        case str():
            return make_storable(value)
        case float() if not isfinite(value):  # from 1e400; it would be stored as null
            raise UnreadableError("holds a number that is too large")
        case dict() | list() if levels == 0:
            raise UnreadableError(f"nested deeper than {_DEEPEST} levels")
        case dict():
            return {make_storable(key): _make_storable(item, levels - 1) for key, item in value.items()}
        case list():
            return [_make_storable(item, levels - 1) for item in value]
    return value

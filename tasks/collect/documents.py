"""The kinds of pages, and the models of their parsed content."""

from enum import StrEnum
from typing import Any

from jobyard import Payload


class Kind(StrEnum):
    AUTO = "auto"
    HTML = "html"
    JSON = "json"
    FEED = "feed"
    CSV = "csv"
    RAW = "raw"


class Page(Payload):
    """A page's visible text; links are absolute and unique, in the order of the page."""

    title: str
    text: str
    links: tuple[str, ...]
    truncated: bool


class Entry(Payload):
    """One entry of a feed; `published` is ISO 8601 in UTC, or empty if the feed names no clear date."""

    title: str
    link: str
    published: str
    summary: str


class Feed(Payload):
    """A feed and its entries, in the feed's order."""

    title: str
    entries: tuple[Entry, ...]
    truncated: bool


class Table(Payload):
    """A table: its first row as the columns' names, and the others as rows of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    truncated: bool


class Document(Payload):
    """A JSON document; `value` is null and `truncated` is true if it is too large for a result."""

    value: Any
    truncated: bool


Parsed = Page | Feed | Table | Document

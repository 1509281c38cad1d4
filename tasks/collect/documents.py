"""What a page may turn out to be, and what is kept of each kind."""

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
    """A page as a person would read it; links are absolute, each once, in the order of the page."""

    title: str
    text: str
    links: tuple[str, ...]
    truncated: bool


class Entry(Payload):
    """One entry; `published` is ISO 8601 in UTC, or empty where the feed does not say."""

    title: str
    link: str
    published: str
    summary: str


class Feed(Payload):
    """A feed and its entries, in its own order."""

    title: str
    entries: tuple[Entry, ...]
    truncated: bool


class Table(Payload):
    """A table: its first line as the columns' names, the others as rows of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    truncated: bool


class Document(Payload):
    """A JSON document; null and truncated where it is larger than a result may be."""

    value: Any
    truncated: bool


Parsed = Page | Feed | Table | Document

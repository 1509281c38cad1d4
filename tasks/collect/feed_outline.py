"""Extracts title and entries from an RSS or Atom feed, in the program of `outline_main.py`.

feedparser's expressions take time that grows with the square of some texts: 300,000 line breaks before
`<rss>` took it 5 minutes (measured).
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import feedparser
from dateutil import parser

MAX_ENTRIES = 500
MAX_TITLE = 1000
MAX_LINK = 2000
MAX_SUMMARY = 2000
MAX_DATE = 100

# In hours from UTC. Names that several countries use for different times (BST, IST) are left out.
_ZONES = {
    **{"UT": 0, "WET": 0, "WEST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "EEST": 3},
    **{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7},  # RFC 822
    **{"JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13},
}
# dateutil would take GMT+2 for two hours west, as in POSIX; in a date it means east.
_GREENWICH_BEFORE_OFFSET = re.compile(r"\b(?:GMT|UTC?)(?=\s*[+-]\d)")
_COMMENT_AFTER_OFFSET = re.compile(r"(?<=[+-]\d\d)(:?\d\d)\s*\([^()]*\)$")
_YEAR_OR_MONTH_IS_PLAIN = re.compile(
    r"\d{4}\D|\d{8}|.*\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE
)
# A date that lacks a part gets the part of these, and so becomes two.
_DEFAULTS = (datetime(2000, 1, 1), datetime(2004, 12, 31))


def outline(text: str, url: str) -> dict[str, Any] | None:
    """Return `title`, the first `entries`, and whether there are `more`; None for a text that is no feed."""
    # Passed as a stream, because feedparser would first try bytes as a file name. The headers name the
    # encoding of these bytes, whatever the feed declares, and the base of relative links.
    headers = {"content-type": "application/xml; charset=utf-8", "content-location": url}
    parsed = feedparser.parse(BytesIO(text.strip().encode()), response_headers=headers)
    if not parsed.get("version") and not parsed.entries:
        return None
    return {
        "title": parsed.feed.get("title", "")[:MAX_TITLE],
        "entries": [_entry(entry) for entry in parsed.entries[:MAX_ENTRIES]],
        "more": len(parsed.entries) > MAX_ENTRIES,
    }


def _entry(entry: "feedparser.FeedParserDict") -> dict[str, str]:
    # dict.get, because feedparser's own `get` warns when it returns another date for a missing one.
    dates = (_utc(dict.get(entry, name, "")) for name in ("published", "updated"))
    return {
        "title": entry.get("title", "")[:MAX_TITLE],
        "link": entry.get("link", "")[:MAX_LINK],
        "published": next(filter(None, dates), ""),
        "summary": entry.get("summary", "")[:MAX_SUMMARY],
    }


def _utc(text: str) -> str:
    """Return a date as ISO 8601 in UTC, which is also its zone if it names none; empty if it is not clear.

    feedparser's own dates are not used: 30 February was 1 March to it, and CEST was UTC.
    """
    try:
        dates = _readings(text.strip())
    except (ValueError, ArithmeticError):
        return ""
    return f"{dates.pop().isoformat(timespec='seconds')}Z" if len(dates) == 1 else ""


def _readings(text: str) -> set[datetime]:
    if not text[:1].isalnum() or len(text) > MAX_DATE:
        raise ValueError("not a date")
    text = _COMMENT_AFTER_OFFSET.sub(r"\1", _GREENWICH_BEFORE_OFFSET.sub("", text))
    flags = (False,) if _YEAR_OR_MONTH_IS_PLAIN.match(text) else (False, True)
    return {
        parser.parse(text, default=default, dayfirst=day_first, yearfirst=year_first, tzinfos=_zone)
        .astimezone(UTC)
        .replace(tzinfo=None)
        for default in _DEFAULTS
        for day_first in flags
        for year_first in flags
    }


def _zone(name: str | None, offset_seconds: int | None) -> timezone:
    if name is None or offset_seconds == 0:
        return timezone(timedelta(seconds=offset_seconds or 0))
    if offset_seconds is not None or name not in _ZONES:
        raise ValueError(f"{name} is no clear zone")
    return timezone(timedelta(hours=_ZONES[name]))

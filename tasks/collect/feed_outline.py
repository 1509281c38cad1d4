"""Extracts title and entries from an RSS or Atom feed, in the program of `outline_main.py`.

feedparser's expressions take time that grows with the square of some texts: 300,000 line breaks before
`<rss>` took it 5 minutes (measured).
"""

from io import BytesIO
from time import struct_time
from typing import Any

import feedparser

MAX_ENTRIES = 500
MAX_TITLE = 1000
MAX_LINK = 2000
MAX_SUMMARY = 2000


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
    dates = (entry.get("published_parsed"), dict.get(entry, "updated_parsed"))
    # An element of a feed may be called like that, and then it is text.
    date = next((date for date in dates if isinstance(date, struct_time)), None)
    return {
        "title": entry.get("title", "")[:MAX_TITLE],
        "link": entry.get("link", "")[:MAX_LINK],
        "published": "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*date[:6]) if date else "",
        "summary": entry.get("summary", "")[:MAX_SUMMARY],
    }

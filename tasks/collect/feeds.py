"""Parses RSS and Atom feeds."""

from io import BytesIO

import feedparser

from tasks.collect.documents import Entry, Feed
from tasks.collect.limits import Budget

MAX_ENTRIES = 500
MAX_SUMMARY = 2000


class NotAFeedError(ValueError):
    """The body is neither RSS nor Atom."""


def read_feed(body: bytes) -> Feed:
    """Return a feed's title and entries; raises `NotAFeedError`."""
    # Passed as a stream, because feedparser would first try bytes as a file name.
    parsed = feedparser.parse(BytesIO(body))
    if not parsed.get("version") and not parsed.entries:
        raise NotAFeedError("neither RSS nor Atom")
    budget = Budget()
    title = budget.take(parsed.feed.get("title", ""), max_characters=1000)
    entries = [_entry(entry, budget) for entry in parsed.entries[:MAX_ENTRIES] if not budget.is_spent]
    is_cut = budget.is_spent or len(parsed.entries) > MAX_ENTRIES
    return Feed(title=title, entries=tuple(entries), truncated=is_cut)


def _entry(entry: "feedparser.FeedParserDict", budget: Budget) -> Entry:
    # dict.get, because feedparser's own `get` warns when it returns another date for a missing one.
    date = entry.get("published_parsed") or dict.get(entry, "updated_parsed")
    return Entry(
        title=budget.take(entry.get("title", ""), max_characters=1000),
        link=budget.take(entry.get("link", ""), max_characters=2000),
        published="{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*date[:6]) if date else "",
        summary=budget.take(entry.get("summary", ""), max_characters=MAX_SUMMARY),
    )

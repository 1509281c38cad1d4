"""Reads RSS and Atom."""

from io import BytesIO

import feedparser

from tasks.collect.documents import Entry, Feed
from tasks.collect.limits import Budget

MAX_ENTRIES = 500
MAX_SUMMARY = 2000


class NotAFeedError(ValueError):
    """The body is neither RSS nor Atom."""


def read_feed(body: bytes) -> Feed:
    """Return what a feed says; raises `NotAFeedError`."""
    # As a stream: given bytes, feedparser would try them as a file name first.
    parsed = feedparser.parse(BytesIO(body))
    if not parsed.get("version") and not parsed.entries:
        raise NotAFeedError("neither RSS nor Atom")
    budget = Budget()
    title = budget.take(parsed.feed.get("title", ""), most=1000)
    entries = [_entry(entry, budget) for entry in parsed.entries[:MAX_ENTRIES] if not budget.is_spent]
    is_cut = budget.is_spent or len(parsed.entries) > MAX_ENTRIES
    return Feed(title=title, entries=tuple(entries), truncated=is_cut)


def _entry(entry: "feedparser.FeedParserDict", budget: Budget) -> Entry:
    # dict.get, because feedparser's own warns where it takes one date for the other.
    when = entry.get("published_parsed") or dict.get(entry, "updated_parsed")
    return Entry(
        title=budget.take(entry.get("title", ""), most=1000),
        link=budget.take(entry.get("link", ""), most=2000),
        published="{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*when[:6]) if when else "",
        summary=budget.take(entry.get("summary", ""), most=MAX_SUMMARY),
    )

"""Reads RSS and Atom feeds."""

from tasks.collect.documents import Entry, Feed
from tasks.collect.limits import Budget
from tasks.collect.outlines import outline


class NotAFeedError(ValueError):
    """The body is neither RSS nor Atom."""


def read_feed(text: str, url: str) -> Feed:
    """Return a feed's title and entries, cut to fit a result; raises `NotAFeedError` and `TangledError`."""
    found = outline("feed", text, url)
    if found is None:
        raise NotAFeedError("neither RSS nor Atom")
    budget = Budget()
    title = budget.take(found["title"])
    entries: list[Entry] = []
    for entry in found["entries"]:
        if budget.is_spent:
            break
        entries.append(Entry(**{name: budget.take(part) for name, part in entry.items()}))
    return Feed(title=title, entries=tuple(entries), truncated=budget.is_spent or found["more"])

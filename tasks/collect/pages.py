"""Reads HTML."""

from tasks.collect.documents import Page
from tasks.collect.limits import Budget
from tasks.collect.outlines import outline


def read_page(text: str, url: str) -> Page:
    """Return the content of an HTML page, cut to fit a result; raises `TangledError`."""
    found = outline("page", text, url)
    budget = Budget()
    title = budget.take(found["title"], max_characters=1000)
    links = tuple(link for link in found["links"] if budget.try_spend(link))
    body = budget.take(found["text"])
    return Page(title=title, text=body, links=links, truncated=budget.is_spent or found["more"])

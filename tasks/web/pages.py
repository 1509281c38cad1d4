"""Reads HTML: title, visible text and links."""

from urllib.parse import urldefrag, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser

from tasks.payload import Payload
from tasks.web.limits import Budget

MAX_LINKS = 1000
_INVISIBLE = ["script", "style", "noscript", "template", "svg", "iframe"]


class Page(Payload):
    """A page as a person would read it; links are absolute, each once, in the order of the page."""

    title: str
    text: str
    links: tuple[str, ...]
    truncated: bool


def read_page(text: str, url: str) -> Page:
    """Return what an HTML page says, as much of it as fits a result."""
    tree = LexborHTMLParser(text)
    budget = Budget()
    title_node = tree.css_first("title")
    title = budget.take(_squeezed(title_node.text()) if title_node else "", most=1000)
    base = tree.css_first("base[href]")
    links = _links(tree, urljoin(url, base.attributes.get("href") or "") if base else url)
    tree.strip_tags(_INVISIBLE)
    kept = [link for link in links[:MAX_LINKS] if budget.has_room(link)]
    body = budget.take(_squeezed(tree.body.text(separator=" ")) if tree.body else "")
    is_cut = budget.is_spent or len(kept) < len(links)
    return Page(title=title, text=body, links=tuple(kept), truncated=is_cut)


def _links(tree: LexborHTMLParser, base: str) -> list[str]:
    found: dict[str, None] = {}
    for anchor in tree.css("a[href]"):
        try:
            link = urldefrag(urljoin(base, (anchor.attributes.get("href") or "").strip())).url
            is_page = urlsplit(link).scheme in ("http", "https")
        except ValueError:  # what a browser would not follow either
            continue
        if is_page:
            found[link] = None
    return list(found)


def _squeezed(text: str) -> str:
    return " ".join(text.split())

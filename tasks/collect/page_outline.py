"""Extracts title, visible text and links from an HTML page, in the program of `outline_main.py`.

The HTML standard requires work that grows with the square of a hostile page: 84 KB of `<p><b a=1></p>`, each
with another number, took selectolax 4.5 GB, and 1 MB of `<div>` took it 197 s (measured).
"""

from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser

MAX_LINKS = 1000
_INVISIBLE = ["script", "style", "noscript", "template", "svg", "iframe"]


def outline(text: str, url: str) -> dict[str, Any]:
    """Return `title`, `text`, the first `links`, and whether the page has `more` links."""
    tree = LexborHTMLParser(text)
    links = _links(tree, _base(tree, url))
    tree.strip_tags(_INVISIBLE)
    title = tree.css_first("title")
    return {
        "title": _collapse_whitespace(title.text()) if title else "",
        "text": _collapse_whitespace(tree.body.text(separator=" ")) if tree.body else "",
        "links": links[:MAX_LINKS],
        "more": len(links) > MAX_LINKS,
    }


def _base(tree: LexborHTMLParser, url: str) -> str:
    base = tree.css_first("base[href]")
    try:
        return urljoin(url, base.attributes.get("href") or "") if base else url
    except ValueError:  # an invalid URL, which a browser would ignore
        return url


def _links(tree: LexborHTMLParser, base: str) -> list[str]:
    found: dict[str, None] = {}
    for anchor in tree.css("a[href]"):
        try:
            link = urldefrag(urljoin(base, (anchor.attributes.get("href") or "").strip())).url
            is_page = urlsplit(link).scheme in ("http", "https")
        except ValueError:  # an invalid URL, which a browser would not follow either
            continue
        if is_page:
            found[link] = None
    return list(found)


def _collapse_whitespace(text: str) -> str:
    return " ".join(text.split())

"""Decodes text as browsers do (https://encoding.spec.whatwg.org), whose labels are not those of Python.

Labels are looked up by `webencodings`, so no codec of Python's that is no encoding of the web is ever used.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from html.parser import HTMLParser

import webencodings

from tasks.collect.limits import make_storable

# How much of a page is searched for a `<meta>` (https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding).
_PRESCAN_BYTES = 1024
_CHARSET_IN_CONTENT = re.compile(r"charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")

Declaration = Callable[[bytes], str | None]


def decode(body: bytes, content_type: str, declared: Declaration = lambda body: None) -> str:
    """Return a body as text that can be stored.

    A byte order mark decides, or else the header, or else what `declared` finds in the body. Without any of
    them the text is UTF-8 if that fits better than Windows-1252.
    """
    encoding = _lookup(_charset_of(content_type)) or _lookup(declared(body))
    text, _ = webencodings.decode(body, encoding or _guess(body), errors="replace")
    return make_storable(text)


def declared_in_html(body: bytes) -> str | None:
    """Return the encoding that a page names at its beginning."""
    start = body[:_PRESCAN_BYTES].decode("latin-1")
    finder = _MetaFinder()
    with suppress(AssertionError):  # which it raises at some kinds of `<![...]>`
        finder.feed(start)
    name = finder.charset or declared_in_xml(body)
    # The name itself was readable as ASCII, so the page is not in UTF-16.
    return "utf-8" if name and (_lookup(name) or "").startswith("utf-16") else name


def declared_in_xml(body: bytes) -> str | None:
    """Return the encoding of an XML declaration."""
    found = _XML_DECLARATION.match(body[:_PRESCAN_BYTES])
    return found[1].decode() if found else None


class _MetaFinder(HTMLParser):
    """Finds the first charset in a `<meta>`: not one in a comment, a script, a link or the text."""

    charset: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag != "meta" or self.charset:
            return
        values = {name: value or "" for name, value in reversed(attributes)}
        if charset := values.get("charset"):
            self.charset = charset
        elif values.get("http-equiv", "").lower() == "content-type":
            found = _CHARSET_IN_CONTENT.search(values.get("content", ""))
            self.charset = found[1] if found else None


def _charset_of(content_type: str) -> str | None:
    message = Message()
    message["Content-Type"] = content_type
    try:
        charset = message.get_param("charset")
    except ValueError:  # a parameter with a number of thousands of digits (RFC 2231)
        return None
    return charset if isinstance(charset, str) else None


def _lookup(label: str | None) -> str | None:
    encoding = webencodings.lookup(label) if label else None
    if encoding is None:
        return None
    # The standard decodes both alike; webencodings takes Python's GBK, which lacks some characters.
    return "gb18030" if encoding.name == "gbk" else str(encoding.name)


def _guess(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    other = sum(character > "\x7f" for character in text) - wrong if wrong else 0
    return "windows-1252" if wrong > other else "utf-8"

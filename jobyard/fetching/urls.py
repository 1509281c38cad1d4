"""Checks which URLs may be fetched."""

import re
from typing import Final

import httpx

MAX_URL_LENGTH: Final = 2000
_HOST: Final = re.compile(rb"[A-Za-z0-9._:-]+")


def checked_url(text: str) -> httpx.URL:
    """Return a URL that may be fetched; raises `ValueError` that says what is wrong with it."""
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"longer than {MAX_URL_LENGTH} characters")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"not a URL: {error}") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("only http:// and https:// pages are fetched")
    if not url.host:
        raise ValueError("names no host")
    if not _HOST.fullmatch(url.raw_host) or not (url.port is None or 0 < url.port < 65536):
        raise ValueError("names an invalid host or port")
    if url.userinfo:
        raise ValueError("holds a user name or password, which would be readable in the ledger")
    return url

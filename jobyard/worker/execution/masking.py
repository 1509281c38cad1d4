"""Hides secrets in what is kept of a failure: more people read messages and tracebacks than settings."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from jobyard.settings import Settings, get_settings

MASK: Final = "********"
SHORTEST: Final = 4  # masking shorter ones would riddle every text with holes

_IN_URL = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)@")
# Every repetition is bounded or begins at a fixed word, so that the time is linear in the text.
_NAMED = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key|authorization)[\w-]{0,40}[\"']?\s{0,3}[:=]\s{0,3}"
    r"(?:bearer\s|basic\s)?)([\"'][^\"']+[\"']|[^\s,;)}\]\"']+)"
)


def masked(text: str) -> str:
    """Return `text` without the secrets of the settings, passwords in URLs, and values named as secret."""
    for secret in _secrets_of(get_settings()):
        text = text.replace(secret, MASK)
    text = _IN_URL.sub(rf"\1:{MASK}@", text)
    return _NAMED.sub(rf"\1{MASK}", text)


@cache
def _secrets_of(settings: Settings) -> tuple[str, ...]:
    known = {secret for secret in _walk(settings) if len(secret) >= SHORTEST}
    return tuple(sorted(known, key=len, reverse=True))


def _walk(value: Any) -> Iterator[str]:
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from _walk(getattr(value, name))
        case tuple():
            for item in value:
                yield from _walk(item)
        case SecretStr():
            yield value.get_secret_value()
            yield from _password_in(value.get_secret_value())
        case str():
            yield from _password_in(value)


def _password_in(url: str) -> Iterator[str]:
    password = urlsplit(url).password if "://" in url else None
    if password:
        yield password
        yield unquote(password)

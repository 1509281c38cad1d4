"""Masks secrets in texts that people read: URLs, answers of servers, and errors with their tracebacks."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from jobyard.settings.settings import Settings, get_settings

MASK: Final = "***"
SHORTEST: Final = 4  # masking shorter secrets would make most texts unreadable

# Patterns for a URL. They are greedy, so that a password with an unencoded @ or / is masked as a whole.
_LOGIN: Final = re.compile(r"(?<=://)(?P<user>[^:@/?#;]*)(?P<password>:[^;]*)?@")
_PARAMETER: Final = re.compile(
    r"(?P<name>[?&;][^=&;]*(?:pass|pwd|secret|token|key|sig|cred)[^=&;]*=)[^&;#]*", re.I
)
# Patterns for a text. Each repetition is bounded or begins at a fixed word, so the time is linear.
_LOGIN_IN_TEXT: Final = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)@")
_NAMED_IN_TEXT: Final = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key|authorization)[\w-]{0,40}[\"']?\s{0,3}[:=]\s{0,3}"
    r"(?:bearer\s|basic\s)?)([\"'][^\"']+[\"']|[^\s,;)}\]\"']+)"
)


def masked_url(url: str) -> str:
    """Return a URL, or several URLs separated by semicolons, with every secret masked."""
    return _PARAMETER.sub(rf"\g<name>{MASK}", _LOGIN.sub(_masked_login, url))


def _masked_login(login: "re.Match[str]") -> str:
    # A user name without a password may be a password without its colon.
    return f"{login['user']}:{MASK}@" if login["password"] else f"{MASK}@"


def masked_answer(answer: str, url: str) -> str:
    """Return the answer of a URL's server, with the URL's password masked."""
    for password in _passwords_in(url):
        answer = answer.replace(password, MASK)
    return answer


def masked_text(text: str) -> str:
    """Mask the settings' secrets, passwords in URLs, and values whose names say that they are secret."""
    for secret in _secrets_of(get_settings()):
        text = text.replace(secret, MASK)
    return _NAMED_IN_TEXT.sub(rf"\1{MASK}", _LOGIN_IN_TEXT.sub(rf"\1:{MASK}@", text))


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
            yield from _passwords_in(value.get_secret_value())
        case str():
            yield from _passwords_in(value)


def _passwords_in(url: str) -> Iterator[str]:
    """Yield the password of a URL, encoded and decoded."""
    password = urlsplit(url).password if "://" in url else None
    if password:
        yield password
        yield unquote(password)

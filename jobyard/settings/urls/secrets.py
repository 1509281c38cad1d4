"""URLs as they may be shown: without the passwords, tokens and keys that they hold."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

MASK: Final = "***"
# Greedy, so that a password with an @ or a / in it that should have been encoded is hidden as a whole.
_LOGIN: Final = re.compile(r"(?<=://)(?P<user>[^:@/?#;]*)(?P<password>:[^;]*)?@")
_PARAMETER: Final = re.compile(
    r"(?P<name>[?&;][^=&;]*(?:pass|pwd|secret|token|key|sig|cred)[^=&;]*=)[^&;#]*", re.I
)


def without_secrets(url: str) -> str:
    """Return a URL, or several with semicolons between them, with every secret in it masked."""
    return _PARAMETER.sub(rf"\g<name>{MASK}", _LOGIN.sub(_masked, url))


def _masked(login: "re.Match[str]") -> str:
    # A name without a password is as likely a password without its colon.
    return f"{login['user']}:{MASK}@" if login["password"] else f"{MASK}@"


def hidden_in(text: str, url: str) -> str:
    """Return a text with the URL's password masked, should somebody repeat it."""
    password = urlsplit(url).password
    for secret in {password, unquote(password)} if password else ():
        text = text.replace(secret, MASK)
    return text

"""What can be wrong with a server that a setting names."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from jobyard.settings.secrets import masked_answer

LONGEST_ANSWER: Final = 200


@dataclass(frozen=True)
class Fault:
    """A sentence about a server; a wrong setting stays wrong, and a server that is away may come back."""

    sentence: str
    is_wrong: bool


def wrong(sentence: str) -> Fault:
    return Fault(sentence, is_wrong=True)


def away(sentence: str) -> Fault:
    return Fault(sentence, is_wrong=False)


def host_and_port(url: str, default_port: int) -> tuple[str, int]:
    """Return the host and the port that a URL names."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or default_port


def answer(error: BaseException, url: str) -> str:
    """Return what a server answered, shortened and without the password of the URL."""
    texts = (part for part in reversed(error.args) if isinstance(part, str) and " " in part)
    text = next(texts, str(error))
    return masked_answer(" ".join(text.split()), url)[:LONGEST_ANSWER]


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and the errors that caused it."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain

"""What can be the matter with a server that a setting leads to."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from jobyard.settings.secrets import masked_answer

LONGEST_ANSWER: Final = 200


@dataclass(frozen=True)
class Fault:
    """A sentence about a server. One that is wrong stays so; one that is away may come back."""

    sentence: str
    is_wrong: bool


def wrong(sentence: str) -> Fault:
    return Fault(sentence, is_wrong=True)


def away(sentence: str) -> Fault:
    return Fault(sentence, is_wrong=False)


def place(url: str, usual_port: int) -> tuple[str, int]:
    """Return the host and the port that a URL names."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or usual_port


def answer(error: BaseException, url: str) -> str:
    """Return what a server said, as it may be shown."""
    words = next((part for part in reversed(error.args) if isinstance(part, str) and " " in part), str(error))
    return masked_answer(" ".join(words.split()), url)[:LONGEST_ANSWER]


def causes(error: BaseException) -> list[BaseException]:
    """Return an error with those that led to it."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain

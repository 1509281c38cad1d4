"""What is said about one place of the code that was read."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How one place moves."""

    DECIDE = "decide"  # it moves, and would run again after a lost worker, which it did not before
    REFUSED = "refused"  # nothing here does it
    BY_HAND = "by-hand"  # another way does it, and the edit is said
    BY_IMPORT = "by-import"  # it moves by its import, or as it is


@dataclass(frozen=True, slots=True)
class Finding:
    """One place, and what becomes of it. Lines and columns count from 1; the path is as it was given."""

    path: str
    line: int
    column: int
    verdict: Verdict
    idiom: str
    sentence: str
    edit: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that was not read; where it may hold Celery's code, a person has to look."""

    path: str
    reason: str
    needs_a_look: bool

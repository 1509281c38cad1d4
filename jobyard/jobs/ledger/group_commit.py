"""Group commit: what many threads ask for while one commit runs goes into the next one together.

On a quiet process a group holds one item and waits for nobody.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from jobyard.jobs.errors import Interruption, LedgerUnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Asked(Generic[Item, Answer]):
    item: Item
    answered: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: BaseException | None = None
    is_alone: bool = False  # tried in a group before, which failed for a reason that may be another's


class GroupCommit(Generic[Item, Answer]):
    """Calls `commit` with one group at a time, at most `most` items long; there is no thread of its own.

    Whoever comes while nobody commits does so, for itself and for all who have come by then; the others
    wait for their answer. `commit` returns the answers in the order of the items. A database that is out of
    reach is so for the whole group. Any other error may be about one item of it, so each is tried alone, and
    what is raised then is raised to that item's caller only; an `Interruption` is the committing thread's
    own.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Answer]], most: int = 500) -> None:
        self._commit, self._most = commit, most
        self._waiting: list[_Asked[Item, Answer]] = []
        self._enter = threading.Lock()
        self._committing = threading.Lock()

    def __call__(self, item: Item) -> Answer:
        mine: _Asked[Item, Answer] = _Asked(item)
        with self._enter:
            self._waiting.append(mine)
        while not mine.answered.is_set():
            with self._committing:
                if not mine.answered.is_set():
                    self._commit_group(mine)
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]

    def _next_group(self) -> list[_Asked[Item, Answer]]:
        with self._enter:
            size = self._most if not self._waiting[0].is_alone else 1
            group, self._waiting = self._waiting[:size], self._waiting[size:]
        return group

    def _commit_group(self, mine: _Asked[Item, Answer]) -> None:
        group = self._next_group()
        try:
            answers = self._commit([asked.item for asked in group])
            for asked, answer in zip(group, answers, strict=True):
                asked.answer = answer
        except Interruption:
            self._put_back([asked for asked in group if asked is not mine])
            raise
        except LedgerUnavailableError as error:
            _answer(group, error)
        except Exception as error:
            if len(group) == 1:
                _answer(group, error)
            else:
                self._put_back(group)
        else:
            _answer(group)

    def _put_back(self, group: Sequence[_Asked[Item, Answer]]) -> None:
        for asked in group:
            asked.is_alone = True
        with self._enter:
            self._waiting[:0] = group


def _answer(group: Sequence[_Asked[Any, Any]], error: BaseException | None = None) -> None:
    for asked in group:
        asked.error = error
        asked.answered.set()

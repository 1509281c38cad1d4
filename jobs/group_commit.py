"""Group commit: what many threads ask for while one commit runs goes into the next one together.

On a quiet process a group holds one item and waits for nobody.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Asked(Generic[Item, Answer]):
    item: Item
    answered: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: BaseException | None = None


class GroupCommit(Generic[Item, Answer]):
    """Calls `commit` with one group at a time, at most `most` items long; there is no thread of its own.

    Whoever comes while nobody commits does so, for itself and for all who have come by then; the others
    wait for their answer. `commit` returns the answers in the order of the items; what it raises is raised
    to everyone in the group.
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
                    self._commit_group()
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]

    def _commit_group(self) -> None:
        with self._enter:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            answers = self._commit([asked.item for asked in group])
            for asked, answer in zip(group, answers, strict=True):
                asked.answer = answer
        except BaseException as error:
            for asked in group:
                asked.error = error
        finally:
            for asked in group:
                asked.answered.set()

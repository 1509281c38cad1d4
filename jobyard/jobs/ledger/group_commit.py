"""Group commit: the requests of many threads during one commit go into the next commit together.

Under light load a group holds one item, and its thread does not wait for others.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from jobyard.jobs.errors import Interruption, LedgerUnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Request(Generic[Item, Answer]):
    item: Item
    answered: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: BaseException | None = None
    needs_own_group: bool = False  # was in a group that failed, perhaps because of another request


class GroupCommit(Generic[Item, Answer]):
    """Calls `commit` with one group at a time, of at most `max_items` items, in the threads of the callers.

    A caller that finds no commit running commits its item and all that wait by then; the other callers wait
    for their answers. `commit` returns the answers in the order of the items. `LedgerUnavailableError` is
    raised to every caller of the group. Any other error may be about one item, so each item is tried in a
    group of its own, and an error then is raised to its caller only. An `Interruption` concerns the
    committing thread alone.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Answer]], max_items: int = 500) -> None:
        self._commit, self._max_items = commit, max_items
        self._waiting: list[_Request[Item, Answer]] = []
        self._queue_lock = threading.Lock()
        self._commit_lock = threading.Lock()

    def __call__(self, item: Item) -> Answer:
        request: _Request[Item, Answer] = _Request(item)
        with self._queue_lock:
            self._waiting.append(request)
        while not request.answered.is_set():
            with self._commit_lock:
                if not request.answered.is_set():
                    self._commit_group(request)
        if request.error is not None:
            raise request.error
        return request.answer  # type: ignore[return-value]

    def _next_group(self) -> list[_Request[Item, Answer]]:
        with self._queue_lock:
            size = 1 if self._waiting[0].needs_own_group else self._max_items
            group, self._waiting = self._waiting[:size], self._waiting[size:]
        return group

    def _commit_group(self, own_request: _Request[Item, Answer]) -> None:
        group = self._next_group()
        try:
            answers = self._commit([request.item for request in group])
            for request, answer in zip(group, answers, strict=True):
                request.answer = answer
        except Interruption:
            self._put_back([request for request in group if request is not own_request])
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

    def _put_back(self, group: Sequence[_Request[Item, Answer]]) -> None:
        for request in group:
            request.needs_own_group = True
        with self._queue_lock:
            self._waiting[:0] = group


def _answer(group: Sequence[_Request[Any, Any]], error: BaseException | None = None) -> None:
    for request in group:
        request.error = error
        request.answered.set()

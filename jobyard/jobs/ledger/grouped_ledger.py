"""The ledger for many threads of one process: their simultaneous requests become one transaction."""

import os
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import TypeVar

from jobyard.jobs.job import Acceptance, ClaimedJob, NewJob, Outcome
from jobyard.jobs.ledger import Ledger, get_ledger
from jobyard.jobs.ledger.group_commit import GroupCommit
from jobyard.settings.locked_cache import locked_cache

T = TypeVar("T")


class GroupedLedger:
    """Accepts, claims and settles for threads that wait; the answers and errors are those of `Ledger`."""

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self._ledger, self._worker = ledger, worker
        self.accept = GroupCommit(self._accept)
        self.claim = GroupCommit(self._claim)
        self.settle = GroupCommit(self._settle)

    def _accept(self, groups: Sequence[Sequence[NewJob]]) -> list[list[Acceptance]]:
        answers = iter(self._ledger.accept(_flat(groups)))
        return [list(islice(answers, len(group))) for group in groups]

    def _claim(self, groups: Sequence[Sequence[str]]) -> list[list[ClaimedJob]]:
        claimed = {job.id: job for job in self._ledger.claim(_flat(groups), self._worker)}
        # `pop`: if two messages name one job, only one of them gets it.
        return [[claimed.pop(job_id) for job_id in group if job_id in claimed] for group in groups]

    def _settle(self, groups: Sequence[Sequence[Outcome]]) -> list[None]:
        self._ledger.settle(_flat(groups))
        return [None for _ in groups]


def _flat(groups: Iterable[Iterable[T]]) -> list[T]:
    return list(chain.from_iterable(groups))


@locked_cache
def get_grouped_ledger(worker: str = "") -> GroupedLedger:
    """Return this process's grouped ledger; `worker` is the name under which it claims."""
    return GroupedLedger(get_ledger(), worker)


# A lock that another thread held at the fork would stay locked in the child.
os.register_at_fork(after_in_child=get_grouped_ledger.cache_clear)

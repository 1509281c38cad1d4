"""Finds messages that the broker must have lost, because it has delivered what comes after them.

A long wait in a long queue proves nothing. Three things do: the queue is empty; a job that was published
later, and that the broker does not prefer, is running; and, on a broker that delivers the most urgent message
first, a less urgent job was fetched while the message waited.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job, status_is
from jobyard.jobs.job import Status
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue, delivers_most_urgent_first
from jobyard.settings.queues import PRIORITIES

# A message may be overtaken by this much without being lost, because several workers fetch from one queue.
_OVERTAKING: Final = timedelta(seconds=5)
# A worker may have fetched a job this long before it claimed it: a frozen writer of SQLite stops claims for
# `JOBYARD_LEDGER__BUSY_TIMEOUT`, 15 s.
_FROM_FETCH_TO_CLAIM: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class LostMessages:
    """The messages of a queue, or of one priority in it, that were published before a moment."""

    queue: str
    priority: int | None
    before: datetime

    def condition(self) -> ColumnElement[bool]:
        """Return the condition of their jobs that may be published again by now, in the index's order."""
        is_published = and_(status_is(Status.QUEUED), job.c.published_at.is_not(None))
        is_of_priority = () if self.priority is None else (job.c.priority == self.priority,)
        is_before = job.c.published_at < self.before
        return and_(
            is_published, job.c.queue == self.queue, *is_of_priority, is_before, job.c.resend_at <= db_now()
        )


@dataclass(frozen=True, slots=True)
class _Running:
    """Of the running jobs of one queue and priority: the last claim, and the last publishing that is sure."""

    claimed_at: datetime
    published_at: datetime | None

    def proof_by_order(self) -> list[datetime]:
        return [self.published_at - _OVERTAKING] if self.published_at else []


def find_lost_messages(
    connection: Connection, empty_queues: Collection[str], settings: Settings
) -> list[LostMessages]:
    """Return the messages that must be lost and whose jobs may be published again; only reads."""
    now = connection.execute(select(db_now())).scalar_one()
    suspected = [LostMessages(queue, None, now) for queue in empty_queues]
    for queue, running in _running_by_queue(connection).items():
        if queue not in empty_queues:
            suspected += _overtaken(queue, running, settings)
    return [lost for lost in suspected if _has_jobs(connection, lost)]


def _overtaken(queue: str, running: Mapping[int, _Running], settings: Settings) -> Iterator[LostMessages]:
    for priority in reversed(PRIORITIES):
        if delivers_most_urgent_first(settings):
            proofs = _proofs_by_urgency(priority, running)
        else:
            proofs = _proofs_by_order(queue, priority, running, settings)
        if proofs:
            yield LostMessages(queue, priority, max(proofs))


def _proofs_by_urgency(priority: int, running: Mapping[int, _Running]) -> list[datetime]:
    equal = running.get(priority)
    proofs = equal.proof_by_order() if equal else []
    less_urgent = [jobs.claimed_at for other, jobs in running.items() if other < priority]
    # Where a job of this priority was claimed after them, its messages still arrive, and their order decides.
    if less_urgent and not (equal and equal.claimed_at > max(less_urgent)):
        proofs.append(max(less_urgent) - _FROM_FETCH_TO_CLAIM)
    return proofs


def _proofs_by_order(
    queue: str, priority: int, running: Mapping[int, _Running], settings: Settings
) -> list[datetime]:
    name = broker_queue(queue, priority, settings)
    in_this_queue = [jobs for other, jobs in running.items() if broker_queue(queue, other, settings) == name]
    return [proof for jobs in in_this_queue for proof in jobs.proof_by_order()]


def _running_by_queue(connection: Connection) -> Mapping[str, Mapping[int, _Running]]:
    found: dict[str, dict[int, _Running]] = {}
    for queue, priority, claimed_at, published_at in connection.execute(_RUNNING):
        found.setdefault(queue, {})[priority] = _Running(claimed_at, published_at)
    return found


# A job that was published twice, or that another worker had, may have come by an older message than the one
# that was noted: it would prove the loss of all that was published in between.
_CAME_BY_ITS_ONLY_MESSAGE: Final = and_(job.c.attempt == 1, job.c.publish_count <= 1)
# A job that was claimed before its publishing was noted was published after it was due.
_PUBLISHED_AT: Final = func.coalesce(job.c.published_at, job.c.run_at)
_RUNNING: Final = (
    select(
        job.c.queue,
        job.c.priority,
        func.max(job.c.started_at),
        func.max(case((_CAME_BY_ITS_ONLY_MESSAGE, _PUBLISHED_AT))),
    )
    .where(status_is(Status.RUNNING))
    .group_by(job.c.queue, job.c.priority)
)


def _has_jobs(connection: Connection, lost: LostMessages) -> bool:
    return bool(connection.execute(select(exists().where(lost.condition()))).scalar())

"""The keeper: reads the ledger and repairs what was lost, so that no accepted job waits for ever.

Each duty is one function of `jobyard/jobs/keeper/duties.py`; this module has their order. A pass that finds
nothing to do only reads.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

import structlog
from sqlalchemy import Connection

from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, crash_here_if_asked
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.keeper import broker_move, duties
from jobyard.jobs.keeper.batch_size import BatchSize
from jobyard.jobs.keeper.duties import Duty
from jobyard.jobs.keeper.lost_messages import LostMessages, find_lost_messages
from jobyard.jobs.ledger.accept import PUBLISHED_WITHIN_UNSENT_AFTER
from jobyard.jobs.ledger.replay_orders import advance_replay, running_replays
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.settings import Settings

log = structlog.get_logger()

# How long one duty goes on while its batches are full, before the other duties follow.
MAX_DUTY_SECONDS: Final = 2.0

# Changes at most the given number of jobs in a transaction, and returns those that are to be published.
Move = Callable[[Connection, int], list[QueuedJob]]


class JobPublisher(Protocol):
    """What the keeper needs of a broker."""

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        """Send a message for each job, best effort."""

    def wait_until_sent(self) -> bool:
        """Wait until the published messages are sent; return whether the broker has taken them."""

    def is_failing(self) -> bool:
        """Tell whether the broker did not take the messages that were published last."""

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        """Return how many messages wait in each queue; without the queues whose depth is unknown now."""


class Keeper:
    """Makes passes over the ledger; any number of keepers may do so at once."""

    def __init__(self, database: LedgerDatabase, publisher: JobPublisher, settings: Settings) -> None:
        self._database, self._publisher, self._settings = database, publisher, settings.keeper
        self._all_settings = settings
        self._next_search_at = monotonic()
        self._lost: list[LostMessages] = []
        self.is_behind = False

    def pass_once(self) -> int:
        """Do every duty that has work; return how many jobs were moved or published again.

        `is_behind` tells whether there is more work, so that the next pass need not wait.
        """
        self.is_behind = False
        with self._database.reading() as connection:
            pending = duties.pending(connection)
        work: list[Callable[[], int]] = [partial(self._do, duty) for duty in Duty if duty in pending]
        return sum(self._do_safely(duty) for duty in [*work, self._republish_lost_messages])

    def publish_again(self, published_before: datetime, queues: Collection[str]) -> int:
        """Publish again the jobs that were published before a moment, after a move to another broker.

        Goes on for about `MAX_DUTY_SECONDS`; returns how many jobs were published.
        """
        return self._move(
            "moved to another broker",
            lambda c, size: broker_move.mark_unpublished(
                c, published_before, size, self._unsent_after(size), queues
            ),
        )

    def _do_safely(self, duty: Callable[[], int]) -> int:
        try:
            return duty()
        except LedgerUnavailableError:
            raise  # the other duties would fail, too
        except Exception:
            # A duty that fails must not prevent the others.
            log.exception("a duty of the keeper failed, the others go on")
            return 0

    def _do(self, duty: Duty) -> int:
        match duty:
            case Duty.LOST:
                max_lost = self._settings.max_lost
                return self._move(
                    duty, lambda c, size: duties.rescue_lost_jobs(c, size, max_lost, self._unsent_after(size))
                )
            case Duty.LATE:
                return self._repeat(self._expire)
            case Duty.DUE:
                return self._move(duty, lambda c, size: duties.enqueue_due(c, size, self._unsent_after(size)))
            case Duty.REPLAY:
                return sum(self._advance(replay_id) for replay_id in running_replays(self._database))
            case Duty.UNSENT:
                return self._move(
                    duty,
                    lambda c, size: duties.republish_unsent(c, size, self._unsent_after(size)),
                    self._first_size(),
                )

    def _unsent_after(self, size: int) -> timedelta:
        # A large batch takes its publisher a while, and must not count as unsent meanwhile.
        return self._settings.unsent_after * max(1.0, size / PUBLISHED_WITHIN_UNSENT_AFTER)

    def _advance(self, replay_id: str) -> int:
        rate = self._settings.replay_rate
        return self._move(
            Duty.REPLAY, lambda c, size: advance_replay(c, replay_id, rate, size, self._unsent_after(size))
        )

    def _first_size(self) -> int:
        # A keeper whose broker is away tries with one job, and leaves the others to keepers that reach
        # theirs.
        return 1 if self._publisher.is_failing() else self._settings.batch

    def _move(self, reason: str, move: Move, first_size: int | None = None) -> int:
        return self._repeat(lambda batch_size: self._move_batch(reason, move, batch_size), first_size)

    def _repeat(self, do_batch: Callable[[BatchSize], int], first_size: int | None = None) -> int:
        """Do batch after batch while they are full and the broker takes them; return how many jobs."""
        deadline, total = monotonic() + MAX_DUTY_SECONDS, 0
        batch_size = BatchSize(first_size or self._settings.batch)
        while (done := do_batch(batch_size)) >= batch_size.size and batch_size.is_taken:
            total += done
            if monotonic() > deadline:
                self.is_behind = True
                return total
            batch_size.adjust()
        return total + done

    def _move_batch(self, reason: str, move: Move, batch_size: BatchSize) -> int:
        with batch_size.measure() as size, self._database.writing() as connection:
            queued = move(connection, size)
        if queued:
            crash_here_if_asked(CrashPoint.TAKEN_UP)
            log_event = log.debug if self._publisher.is_failing() else log.info
            log_event("published by the keeper", reason=str(reason), jobs=len(queued))
            self._publish(queued, batch_size)
        return len(queued)

    def _publish(self, queued: Sequence[QueuedJob], batch_size: BatchSize) -> None:
        # The first batch shows whether the broker takes anything. The later ones are sent while the next
        # transaction runs, and at most one waits to be sent.
        if not batch_size.is_first:
            batch_size.is_taken = self._publisher.wait_until_sent()
        self._publisher.publish(queued)
        if batch_size.is_first:
            batch_size.is_taken = self._publisher.wait_until_sent()

    def _expire(self, batch_size: BatchSize) -> int:
        with batch_size.measure() as size, self._database.writing() as connection:
            expired = duties.expire_late(connection, size)
        log.info("expired", jobs=expired)
        return expired

    def _republish_lost_messages(self) -> int:
        # This asks the broker, and is not urgent: no message counts as lost before `resend_after`.
        if not self._lost and monotonic() >= self._next_search_at:
            self._next_search_at = monotonic() + (self._settings.resend_after / 3).total_seconds()
            self._lost = self._find_lost_messages()
        if not self._lost:
            return 0
        lost, was_behind, self.is_behind = self._lost, self.is_behind, False
        republished = self._move(
            "lost in the broker",
            lambda c, size: duties.republish_lost_messages(c, size, self._unsent_after(size), lost),
            self._first_size(),
        )
        # What is left is still lost, and the next pass goes on with it.
        self._lost = lost if self.is_behind else []
        self.is_behind |= was_behind
        return republished

    def _find_lost_messages(self) -> list[LostMessages]:
        depths = self._publisher.depths(known_queues(self._database))
        empty = [queue for queue, depth in depths.items() if depth == 0]
        with self._database.reading() as connection:
            return find_lost_messages(connection, empty, self._all_settings)

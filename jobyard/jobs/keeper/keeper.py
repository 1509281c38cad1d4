"""The keeper: reads the ledger and puts right what was lost, so that nothing accepted waits for ever.

Each duty is one function of `jobyard/jobs/keeper/duties.py`; here is only their order. A pass that finds
nothing to do reads and never writes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

import structlog
from sqlalchemy import Connection

from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.keeper import broker_move, duties
from jobyard.jobs.keeper.batch_size import Stride
from jobyard.jobs.keeper.duties import Duty
from jobyard.jobs.ledger.accept import PUBLISHED_IN_THAT_TIME
from jobyard.jobs.ledger.replay_orders import advance_replay, running_replays
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.settings import Settings

log = structlog.get_logger()

# For one duty at a stretch, while it finds as much as it may take: the others come in between.
LONGEST_STRETCH_SECONDS: Final = 2.0


class JobPublisher(Protocol):
    """What the keeper needs of a broker."""

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        """Send a message for each job, best effort."""

    def has_sent(self) -> bool:
        """Wait until what was published is out; tell whether the broker takes it."""

    def has_failed(self) -> bool:
        """Tell whether the broker did not take what was published last."""

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        """Return how many messages wait in each queue; of none where that cannot be known now."""


class Keeper:
    """Makes passes over the ledger; any number of keepers may do so side by side."""

    def __init__(self, database: LedgerDatabase, publisher: JobPublisher, settings: Settings) -> None:
        self._database, self._publisher, self._settings = database, publisher, settings.keeper
        self._look_for_lost_at = monotonic()
        self.is_behind = False

    def pass_once(self) -> int:
        """Do every duty that has work; return how many jobs were moved or published again.

        `is_behind` says whether there is more of it, for which the next pass need not wait.
        """
        self.is_behind = False
        with self._database.reading() as connection:
            pending = duties.pending(connection)
        work: list[Callable[[], int]] = [partial(self._do, duty) for duty in Duty if duty in pending]
        return sum(self._whatever_happens(duty) for duty in [*work, self._republish_lost_messages])

    def publish_again(self, published_before: datetime, queues: Collection[str]) -> int:
        """Publish again what was published before a moment, a stretch of it; return how many jobs.

        For a broker that has no message of theirs: the yard has moved to it from another.
        """
        return self._move(
            "moved to another broker",
            lambda c, size: broker_move.take_published(c, published_before, size, self._after(size), queues),
        )

    def _whatever_happens(self, duty: Callable[[], int]) -> int:
        try:
            return duty()
        except LedgerUnavailableError:
            raise  # for every duty alike
        except Exception:
            # One duty that fails must not keep the others from being done.
            log.exception("a duty of the keeper failed, the others go on")
            return 0

    def _do(self, duty: Duty) -> int:
        match duty:
            case Duty.LOST:
                most = self._settings.max_lost
                return self._move(
                    duty, lambda c, size: duties.rescue_lost_jobs(c, size, most, self._after(size))
                )
            case Duty.LATE:
                return self._stretch(self._expire)
            case Duty.DUE:
                return self._move(duty, lambda c, size: duties.enqueue_due(c, size, self._after(size)))
            case Duty.REPLAY:
                return sum(self._advance(replay_id) for replay_id in running_replays(self._database))
            case Duty.UNSENT:
                return self._move(
                    duty, lambda c, size: duties.republish_unsent(c, size, self._after(size)), self._probe()
                )

    def _after(self, size: int) -> timedelta:
        # A large group takes its publisher a while, and is not to be taken for unsent meanwhile.
        return self._settings.unsent_after * max(1.0, size / PUBLISHED_IN_THAT_TIME)

    def _advance(self, replay_id: str) -> int:
        rate = self._settings.replay_rate
        return self._move(
            Duty.REPLAY, lambda c, size: advance_replay(c, replay_id, rate, size, self._after(size))
        )

    def _probe(self) -> int:
        # Whose broker is away tries with one job, and leaves the others to keepers that may reach theirs.
        return 1 if self._publisher.has_failed() else self._settings.batch

    def _move(
        self, reason: str, move: Callable[[Connection, int], list[QueuedJob]], at_first: int | None = None
    ) -> int:
        return self._stretch(lambda stride: self._move_some(reason, move, stride), at_first)

    def _stretch(self, some: Callable[[Stride], int], at_first: int | None = None) -> int:
        """Move as much as may be moved at once, again and again while it is a full measure and gets out."""
        until, in_all = monotonic() + LONGEST_STRETCH_SECONDS, 0
        stride = Stride(at_first or self._settings.batch)
        while (moved := some(stride)) >= stride.size and stride.gets_out:
            in_all += moved
            if monotonic() > until:
                self.is_behind = True
                return in_all
            stride.lengthen()
        return in_all + moved

    def _move_some(
        self, reason: str, move: Callable[[Connection, int], list[QueuedJob]], stride: Stride
    ) -> int:
        with stride.measured() as size, self._database.writing() as connection:
            queued = move(connection, size)
        if queued:
            reach(CrashPoint.TAKEN_UP)
            say = log.debug if self._publisher.has_failed() else log.info
            say("published by the keeper", reason=str(reason), jobs=len(queued))
            self._publish(queued, stride)
        return len(queued)

    def _publish(self, queued: Sequence[QueuedJob], stride: Stride) -> None:
        # The first group shows whether the broker takes anything. Those after it are sent while the next
        # transaction runs, and no more than one waits.
        if not stride.is_first:
            stride.gets_out = self._publisher.has_sent()
        self._publisher.publish(queued)
        if stride.is_first:
            stride.gets_out = self._publisher.has_sent()

    def _expire(self, stride: Stride) -> int:
        with stride.measured() as size, self._database.writing() as connection:
            expired = duties.expire_late(connection, size)
        log.info("expired", jobs=expired)
        return expired

    def _republish_lost_messages(self) -> int:
        # Asks the broker, and needs no haste: nothing counts as lost before `resend_after`.
        if monotonic() < self._look_for_lost_at:
            return 0
        self._look_for_lost_at = monotonic() + (self._settings.resend_after / 3).total_seconds()
        depths = self._publisher.depths(known_queues(self._database))
        empty = [queue for queue, depth in depths.items() if depth == 0]
        return self._move(
            "lost in the broker",
            lambda c, size: duties.republish_lost_messages(c, size, self._after(size), empty),
            self._probe(),
        )

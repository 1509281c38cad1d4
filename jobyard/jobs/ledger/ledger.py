"""The ledger: every change of a job's state is one function here, and nobody else writes the job tables.

Accept, claim and settle take lists, so that a group costs one transaction; their longer statements are in
`jobyard/jobs/ledger/accept.py` and `jobyard/jobs/ledger/settle.py`. What only the keeper does is in
`jobyard/jobs/keeper/duties.py`, and how jobs are read is in `jobyard/jobs/reading/job_queries.py`.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from jobyard.jobs.clock import db_now
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.database.engines import Outlives
from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database
from jobyard.jobs.database.row_locks import held, is_in_time, locked_by_id
from jobyard.jobs.database.row_parameter import IDS
from jobyard.jobs.database.schema import Id, job
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.errors import IllegalMoveError
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import (
    WAITING,
    Acceptance,
    Cause,
    ClaimedJob,
    NewJob,
    Outcome,
    QueuedJob,
    Status,
    Succeeded,
    Verdict,
)
from jobyard.jobs.ledger import dead_letters, pruning, replay_orders
from jobyard.jobs.ledger.accept import accept, are_all_inserted
from jobyard.jobs.ledger.fault_counters import Tally, count, count_alone
from jobyard.jobs.ledger.settle import HELD, Key, queued_again, runs, settle, settle_succeeded
from jobyard.jobs.reading.job_queries import missing, status_of
from jobyard.settings import Settings, get_settings
from jobyard.settings.retention import RetentionRule

log = structlog.get_logger()

# Jobs that one transaction deletes: about 50 ms of SQLite's one writer.
PRUNED_AT_ONCE: Final = 500

_CLAIMED = (
    job.c.id,
    job.c.task,
    job.c.payload,
    job.c.attempt,
    job.c.failures,
    job.c.max_attempts,
    job.c.lost,
    job.c.created_at,
)


class Ledger:
    """The truth about every accepted job.

    Every method raises `LedgerUnavailableError` when the database is out of reach; nothing has changed then.
    """

    def __init__(self, database: LedgerDatabase, settings: Settings) -> None:
        self.database, self._settings = database, settings

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Commit jobs, and say of each, in the same order, whether it is new (see `Verdict`)."""
        reach(CrashPoint.BEFORE_ACCEPT)
        acceptances = self._accept(new_jobs, self._settings.keeper.unsent_after)
        reach(CrashPoint.ACCEPTED)
        return acceptances

    def _accept(self, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> list[Acceptance]:
        is_plain = not any(new.tags or new.bulk for new in new_jobs)
        if is_plain and are_all_inserted(self.database, new_jobs, unsent_after):
            return [Acceptance(new.id, Verdict.NEW) for new in new_jobs]
        with self.database.writing() as connection:
            return accept(connection, new_jobs, unsent_after)

    def claim(self, job_ids: Sequence[str], worker: str) -> list[ClaimedJob]:
        """Take the right to run these jobs, as many of them as are queued: attempt + 1 and a lease."""
        own = {"its_worker": worker, "lease": self._settings.worker.lease.total_seconds()}
        if len(job_ids) == 1:
            rows = self.database.run(_CLAIM_ONE, {"its_id": job_ids[0], **own}).rows
        else:
            given = IDS.parameters(self.database.dialect, [(job_id,) for job_id in job_ids])
            rows = self.database.run(_CLAIM, {**given, **own}).rows
        return [ClaimedJob._make(row) for row in rows]

    def renew(self, held: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Prolong the leases of (job id, attempt) pairs; return those that are still ours."""
        lease = {"lease": self._settings.worker.lease.total_seconds()}
        return set(self.database.run(_RENEW, {**HELD.parameters(self.database.dialect, held), **lease}).rows)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Record how attempts ended; return those that counted.

        An attempt that was superseded (its lease ran out and the job was given to another) changes nothing.
        """
        ours = self._settle(outcomes)
        if len(ours) == len(outcomes):
            return list(outcomes)
        for outcome in outcomes:
            if (outcome.job_id, outcome.attempt) not in ours:
                log.warning("superseded result dropped", job_id=outcome.job_id, attempt=outcome.attempt)
        return [outcome for outcome in outcomes if (outcome.job_id, outcome.attempt) in ours]

    def _settle(self, outcomes: Sequence[Outcome]) -> set[Key]:
        succeeded = [outcome for outcome in outcomes if isinstance(outcome, Succeeded)]
        if len(succeeded) == len(outcomes):
            ours = settle_succeeded(self.database, succeeded)
            if late := len(outcomes) - len(ours):
                count_alone(self.database, Tally.LATE_RESULT, late)
            return ours
        with self.database.writing() as connection:
            ours = settle(connection, outcomes)
            count(connection, Tally.LATE_RESULT, len(outcomes) - len(ours))
            return ours

    def put_off_unknown(self, job_ids: Sequence[str], words: str) -> None:
        """Keep queued jobs for a worker that knows their task; dead where none has come in all that time."""
        is_one = job.c.id.in_(job_ids) & (job.c.status == Status.QUEUED)
        keeper = self._settings.keeper
        with self.database.writing() as connection:
            count(connection, Tally.UNKNOWN_TASK)
            connection.execute(
                update(job)
                .where(is_one, job.c.unknown_since < db_now(plus=-keeper.unknown_for))
                .values(
                    status=Status.DEAD,
                    finished_at=db_now(),
                    failure_cause=Cause.UNKNOWN_TASK,
                    failure_type="UnknownTask",
                    failure_message=words,
                )
            )
            statement = update(job).where(is_one).values(queued_again())
            since = func.coalesce(job.c.unknown_since, db_now())
            connection.execute(
                statement.values(resend_at=db_now(plus=keeper.resend_after), unknown_since=since)
            )

    def cancel(self, job_id: str) -> None:
        """Cancel a job that is not running; raises `JobNotFoundError` or `IllegalMoveError`."""
        with self.database.writing() as connection:
            statement = (
                update(job)
                .where(job.c.id == job_id, job.c.status.in_(WAITING))
                .values(status=Status.CANCELLED, finished_at=db_now())
            )
            if not connection.execute(statement).rowcount:
                hint = "only a job that waits (scheduled, queued, retrying) can be"
                raise _refusal(connection, job_id, "cancelled", hint)

    def replay(self, job_id: str, payload: str | None = None, reason: str | None = None) -> QueuedJob:
        """Queue a dead job again, with its history and a fresh count of attempts.

        A `payload`, which the task's model has accepted, takes the place of the old one.
        Raises `JobNotFoundError`, or `IllegalMoveError` where the job is not dead or where another job
        with its unique key is on its way.
        """
        try:
            with self.database.writing() as connection:
                queued = dead_letters.replay(
                    connection, job_id, self._settings.keeper.unsent_after, payload, reason
                )
                if queued is None:
                    raise _refusal(connection, job_id, "replayed", "only a dead job can be")
        except dead_letters.UniqueKeyTakenError as error:
            raise IllegalMoveError(job_id, Status.DEAD, "replayed", str(error)) from error
        reach(CrashPoint.REPLAYED)
        return queued

    def discard(self, job_id: str, reason: str) -> None:
        """Cancel a dead job for good; raises `JobNotFoundError` or `IllegalMoveError`."""
        with self.database.writing() as connection:
            if not dead_letters.discard(connection, [job_id], reason):
                raise _refusal(connection, job_id, "discarded", "only a dead job can be")

    def replay_many(
        self, job_ids: Sequence[str], *, is_canary: bool, reason: str | None
    ) -> tuple[str, list[QueuedJob]]:
        """Order a replay of dead jobs; return the order's id, and the jobs that it has released at once.

        The caller publishes those; the keeper releases the others at a bounded rate.
        """
        keeper = self._settings.keeper
        with self.database.writing() as connection:
            order = replay_orders.order_replay(connection, job_ids, is_canary=is_canary, reason=reason)
            released = replay_orders.advance_replay(
                connection, order, keeper.replay_rate, keeper.batch, keeper.unsent_after
            )
        return order, released

    def stop_replay(self, order: str) -> None:
        """Release nothing more of an order; raises `ReplayNotFoundError`."""
        with self.database.writing() as connection:
            replay_orders.stop_replay(connection, order)

    def discard_many(self, job_ids: Sequence[str], reason: str) -> list[str]:
        """Cancel those of the jobs that are dead, for good; return their ids."""
        with self.database.writing() as connection:
            return dead_letters.discard(connection, job_ids, reason)

    def prune(self, rules: Sequence[RetentionRule]) -> int:
        """Delete the jobs that ended too long ago, with all that belongs to them; return how many.

        In slices, each a transaction of its own, so that no other writer waits for long.
        """
        with self.database.writing() as connection:
            pruning.forget_old(connection, max(rule.keep for rule in rules))
        return sum(self._prune(rule, rules) for rule in rules)

    def _prune(self, rule: RetentionRule, rules: Sequence[RetentionRule]) -> int:
        deleted, after = 0, None
        while True:
            with self.database.writing() as connection:
                pruned = pruning.prune(connection, rule, rules, PRUNED_AT_ONCE, after)
            get_claim_checks().delete(pruned.with_files)
            deleted, after = deleted + pruned.jobs, pruned.after
            if after is None:
                return deleted

    def mark_published(self, job_ids: Sequence[str]) -> None:
        """Note that these jobs' messages were sent, unless somebody has claimed them already."""
        given = IDS.parameters(self.database.dialect, [(job_id,) for job_id in job_ids])
        patience = {"patience": self._settings.keeper.resend_after.total_seconds()}
        self.database.run(_MARK, {**given, **patience})


# The statements that every job meets, each built once for a dialect.


def _claiming(dialect: str) -> ReturningUpdate[Any]:
    held = locked_by_id(dialect)
    is_ours = and_(job.c.id == held.c.id, held.c.status == Status.QUEUED, held.c.is_in_time)
    return _claiming_where(is_ours)


def _claiming_one(dialect: str) -> ReturningUpdate[Any]:
    is_it = job.c.id == bindparam("its_id", type_=Id)
    return _claiming_where(and_(is_it, job.c.status == Status.QUEUED, is_in_time()))


def _claiming_where(condition: ColumnElement[bool]) -> ReturningUpdate[Any]:
    return (
        update(job)
        .where(condition)
        .values(
            status=Status.RUNNING,
            attempt=job.c.attempt + 1,
            unknown_since=None,
            worker=bindparam("its_worker"),
            started_at=db_now(),
            lease_until=db_now(plus=bindparam("lease", type_=Float)),
        )
        .returning(*_CLAIMED)
    )


def _renewing(dialect: str) -> ReturningUpdate[Any]:
    given = HELD.relation(dialect)
    found = held(dialect, given)
    return (
        update(job)
        .where(job.c.id == found.c.id, runs(found, given))
        .values(lease_until=db_now(plus=bindparam("lease", type_=Float)))
        .returning(job.c.id, job.c.attempt)
    )


def _marking(dialect: str) -> Update:
    # Who holds a row is about to move it, and then the note is of no use.
    held = locked_by_id(dialect, skip_locked=True)
    doubling = case((job.c.publish_count > 6, 64), else_=literal(1).bitwise_lshift(job.c.publish_count))
    return (
        update(job)
        .where(job.c.id == held.c.id, held.c.status == Status.QUEUED)
        .values(
            published_at=db_now(),
            publish_count=job.c.publish_count + 1,
            resend_at=db_now(plus=doubling * bindparam("patience", type_=Float)),
        )
    )


_CLAIM: Final = CommittedStatement(_claiming, outlives=Outlives.WORKERS)
_CLAIM_ONE: Final = CommittedStatement(_claiming_one, outlives=Outlives.WORKERS, finds_one=True)
_RENEW: Final = CommittedStatement(_renewing, outlives=Outlives.WORKERS)
_MARK: Final = CommittedStatement(_marking, outlives=Outlives.WORKERS)


def _refusal(connection: Connection, job_id: str, wanted: str, hint: str) -> Exception:
    status = status_of(connection, job_id)
    if status is None:
        return missing(connection, job_id)
    return IllegalMoveError(job_id, status, wanted, hint)


@cache
def get_ledger() -> Ledger:
    """Return this process's ledger."""
    return Ledger(get_database(), get_settings())

"""The ledger: every change of a job's state is one function here, and no other code writes the job tables.

Accept, claim and settle take lists, so that a group costs one transaction; their statements are in
`accept.py`, `claim.py` and `settle.py` in this folder. The changes that only the keeper makes are in
`jobyard/jobs/keeper/duties.py`, and `jobyard/jobs/reading/job_queries.py` reads jobs.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, update

from jobyard.jobs.actors import PYTHON
from jobyard.jobs.clock import db_now
from jobyard.jobs.crash_points import CrashPoint, crash_here_if_asked
from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database
from jobyard.jobs.database.schema import job
from jobyard.jobs.errors import IllegalMoveError
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import (
    WAITING,
    Acceptance,
    ClaimedJob,
    Failure,
    InterventionKind,
    NewJob,
    Outcome,
    PutOff,
    QueuedJob,
    Status,
    Succeeded,
    Verdict,
)
from jobyard.jobs.ledger import dead_letters, pruning, replay_orders
from jobyard.jobs.ledger.accept import accept, commit_untagged
from jobyard.jobs.ledger.accept_dead import accept_dead
from jobyard.jobs.ledger.claim import claim, mark_published, renew
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault, count_fault_and_commit
from jobyard.jobs.ledger.interventions import record_interventions
from jobyard.jobs.ledger.put_off import put_off_queued, settle_put_off
from jobyard.jobs.ledger.settle import AttemptKey, settle, settle_succeeded
from jobyard.jobs.ledger.skip_delay import skip_delay
from jobyard.jobs.reading.job_queries import missing, status_of
from jobyard.settings import Settings, get_settings
from jobyard.settings.locked_cache import locked_cache
from jobyard.settings.retention import RetentionRule

log = structlog.get_logger()

# Jobs that one transaction deletes: it keeps SQLite's one write lock for about 50 ms.
PRUNED_AT_ONCE: Final = 500


class Ledger:
    """The state of every accepted job.

    Every method raises `LedgerUnavailableError` if the database is out of reach; nothing has changed then.
    An `actor` is kept with what it did, as in `jobyard/jobs/actors.py`.
    """

    def __init__(self, database: LedgerDatabase, settings: Settings) -> None:
        self.database, self._settings = database, settings

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Commit jobs, and return for each, in the same order, whether it is new (see `Verdict`)."""
        crash_here_if_asked(CrashPoint.BEFORE_ACCEPT)
        acceptances = self._accept(new_jobs, self._settings.keeper.unsent_after)
        crash_here_if_asked(CrashPoint.ACCEPTED)
        return acceptances

    def _accept(self, new_jobs: Sequence[NewJob], unsent_after: timedelta) -> list[Acceptance]:
        is_plain = not any(new.tags or new.bulk for new in new_jobs)
        if is_plain and commit_untagged(self.database, new_jobs, unsent_after):
            return [Acceptance(new.id, Verdict.NEW) for new in new_jobs]
        with self.database.writing() as connection:
            return accept(connection, new_jobs, unsent_after)

    def accept_dead(self, new_jobs: Sequence[NewJob], failures: Sequence[Failure]) -> list[Acceptance]:
        """Commit jobs that can never run as dead letters, each with its failure."""
        with self.database.writing() as connection:
            return accept_dead(connection, new_jobs, failures, self._settings.keeper.unsent_after)

    def claim(self, job_ids: Sequence[str], worker: str) -> list[ClaimedJob]:
        """Claim those of the jobs that are queued: attempt + 1 and a lease for `worker`."""
        return claim(self.database, job_ids, worker, self._settings.worker.lease)

    def renew(self, attempts: Sequence[AttemptKey]) -> set[AttemptKey]:
        """Prolong the leases of (job id, attempt) pairs; return those that are still ours."""
        return renew(self.database, attempts, self._settings.worker.lease)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Record how attempts ended; return the outcomes that counted.

        A superseded attempt (its lease ran out, and another worker got the job) changes nothing.
        """
        ours = self._settle(outcomes)
        if len(ours) == len(outcomes):
            return list(outcomes)
        for outcome in outcomes:
            if (outcome.job_id, outcome.attempt) not in ours:
                log.warning("superseded result dropped", job_id=outcome.job_id, attempt=outcome.attempt)
        return [outcome for outcome in outcomes if (outcome.job_id, outcome.attempt) in ours]

    def _settle(self, outcomes: Sequence[Outcome]) -> set[AttemptKey]:
        succeeded = [outcome for outcome in outcomes if isinstance(outcome, Succeeded)]
        if len(succeeded) == len(outcomes):
            ours = settle_succeeded(self.database, succeeded)
            if late := len(outcomes) - len(ours):
                count_fault_and_commit(self.database, FaultKind.LATE_RESULT, late)
            return ours
        with self.database.writing() as connection:
            ours = settle(connection, outcomes)
            put_off = [o for o in outcomes if isinstance(o, PutOff) and (o.job_id, o.attempt) in ours]
            settle_put_off(connection, put_off, self._settings.keeper)
            count_fault(connection, FaultKind.LATE_RESULT, len(outcomes) - len(ours))
            return ours

    def put_off_unknown(self, job_ids: Sequence[str], failure: Failure) -> None:
        """Keep queued jobs for a worker that knows their task; without one, they die after `unknown_for`."""
        with self.database.writing() as connection:
            put_off_queued(connection, job_ids, failure, self._settings.keeper)

    def cancel(self, job_id: str, reason: str | None = None, *, actor: str = PYTHON) -> None:
        """Cancel a job that waits; raises `JobNotFoundError` or `IllegalMoveError`."""
        with self.database.writing() as connection:
            statement = (
                update(job)
                .where(job.c.id == job_id, job.c.status.in_(WAITING))
                .values(status=Status.CANCELLED, finished_at=db_now())
            )
            if not connection.execute(statement).rowcount:
                hint = "only a job that waits (scheduled, queued, retrying) can be"
                raise _refusal(connection, job_id, "cancelled", hint)
            record_interventions(connection, [job_id], InterventionKind.CANCELLED, actor, reason)

    def replay(
        self, job_id: str, payload: str | None = None, reason: str | None = None, *, actor: str = PYTHON
    ) -> QueuedJob:
        """Queue a dead job again, with its history and a fresh count of attempts.

        A `payload`, which the task's model has accepted, replaces the old one. Raises `JobNotFoundError`, or
        `IllegalMoveError` if the job is not dead or if another job with its unique key is on its way.
        """
        new_payload = None
        if payload is not None:
            new_payload = dead_letters.store_new_payload(self.database, job_id, payload)
        unsent_after = self._settings.keeper.unsent_after
        try:
            with self.database.writing() as connection:
                queued = None
                if payload is None or new_payload is not None:
                    queued = dead_letters.replay(
                        connection, job_id, unsent_after, actor=actor, reason=reason, new_payload=new_payload
                    )
                if queued is None:
                    raise _refusal(connection, job_id, "replayed", "only a dead job can be")
        except dead_letters.UniqueKeyTakenError as error:
            raise IllegalMoveError(job_id, Status.DEAD, "replayed", str(error)) from error
        crash_here_if_asked(CrashPoint.REPLAYED)
        return queued

    def discard(self, job_id: str, reason: str, *, actor: str = PYTHON) -> None:
        """Cancel a dead job for good; raises `JobNotFoundError` or `IllegalMoveError`."""
        with self.database.writing() as connection:
            if not dead_letters.discard(connection, [job_id], actor, reason):
                raise _refusal(connection, job_id, "discarded", "only a dead job can be")

    def replay_many(
        self, job_ids: Sequence[str], *, is_canary: bool, reason: str | None, actor: str = PYTHON
    ) -> tuple[str, list[QueuedJob]]:
        """Order a replay of dead jobs; return the order's id, and the jobs that it released at once.

        The caller publishes those; the keeper releases the others at a bounded rate.
        """
        keeper = self._settings.keeper
        with self.database.writing() as connection:
            order = replay_orders.order_replay(
                connection, job_ids, is_canary=is_canary, actor=actor, reason=reason
            )
            released = replay_orders.advance_replay(
                connection, order, keeper.replay_rate, keeper.batch, keeper.unsent_after
            )
        return order, released

    def stop_replay(self, order: str, reason: str | None = None, *, actor: str = PYTHON) -> None:
        """Stop a replay order, unless it has ended: no more of its jobs are released.

        Raises `ReplayNotFoundError`.
        """
        with self.database.writing() as connection:
            replay_orders.stop_replay(connection, order, actor, reason)

    def discard_many(self, job_ids: Sequence[str], reason: str, *, actor: str = PYTHON) -> list[str]:
        """Cancel the dead ones among these jobs for good; return their ids."""
        with self.database.writing() as connection:
            return dead_letters.discard(connection, job_ids, actor, reason)

    def prune(self, rules: Sequence[RetentionRule]) -> int:
        """Delete the jobs whose retention is over, with all that belongs to them; return how many.

        Each transaction deletes one slice of them, so that no other writer waits for long.
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

    def skip_delay(self, job_id: str) -> None:
        """Queue a job that is scheduled or waits for its next attempt: for a process that runs it itself."""
        with self.database.writing() as connection:
            skip_delay(connection, job_id)

    def mark_published(self, job_ids: Sequence[str]) -> None:
        """Note that the messages of these jobs were sent, unless a worker has claimed the job already."""
        mark_published(self.database, job_ids, self._settings.keeper.resend_after)


def _refusal(connection: Connection, job_id: str, requested: str, hint: str) -> Exception:
    status = status_of(connection, job_id)
    if status is None:
        return missing(connection, job_id)
    return IllegalMoveError(job_id, status, requested, hint)


@locked_cache
def get_ledger() -> Ledger:
    """Return this process's ledger."""
    return Ledger(get_database(), get_settings())

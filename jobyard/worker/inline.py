"""Runs jobs where they are handed in, with the code that runs them in a worker, and nothing else.

That is for tests (`JOBYARD_TASKS__EAGER`, `jobyard.testing.eager`) and for `task.apply()`. A job runs in the
thread that hands it in, to its end: no delay is waited for, neither the first nor one before a retry, and no
time limit interrupts it. No message is sent, and no thread is started.
"""

import os
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel

from jobyard.broker.accept_and_publish import AcceptAndPublish
from jobyard.broker.local_publisher import LocalPublisher
from jobyard.jobs.database.ledger_database import memory_database
from jobyard.jobs.job import (
    Acceptance,
    ClaimedJob,
    Failed,
    Failure,
    NewJob,
    Outcome,
    PutOff,
    QueuedJob,
)
from jobyard.jobs.ledger import Ledger
from jobyard.settings import get_settings
from jobyard.tasks.context import InlineRun, running_inline
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.options import JobOptions
from jobyard.tasks.registry import known_task
from jobyard.tasks.submission import new_job
from jobyard.worker.execution.attempt import attempt
from jobyard.worker.execution.other_version import unknown_task
from jobyard.worker.execution.outcome_log import log_outcomes

# Attempts after which a job that goes on asking for another is dead: nothing else runs that could change what
# it waits for.
MOST_ATTEMPTS: Final = 250


def run_to_the_end(ledger: Ledger, job_id: str, run: InlineRun) -> None:
    """Run a job that waits, until it has ended; `run.error` is then what it has raised, if it failed."""
    for _ in range(MOST_ATTEMPTS):
        ledger.skip_delay(job_id)
        claimed = ledger.claim([job_id], f"inline/{os.getpid()}")
        if not claimed:
            return  # another thread has it, or it has expired
        outcome = _attempt(claimed[0], run)
        ledger.settle([outcome])
        log_outcomes([outcome], {job_id: claimed[0].task})
        if not (isinstance(outcome, Failed) and outcome.retry_in is not None):
            return


def _attempt(job: ClaimedJob, run: InlineRun) -> Outcome:
    task, run.error = known_task(job.task), None
    if task is None:
        return _dead(job, unknown_task(job.task))
    with running_inline(run):
        outcome = attempt(task, job)
    match outcome:
        case PutOff(failure=failure):
            return _dead(job, failure)  # there is no worker of another version that could run it
        case Failed(failure=failure) if job.attempt >= MOST_ATTEMPTS:
            why = f"asks for one more attempt after {MOST_ATTEMPTS}, and nothing else runs here"
            return _dead(job, Failure(failure.cause, failure.type, f"{failure.message} ({why})"))
    return outcome


def _dead(job: ClaimedJob, failure: Failure) -> Failed:
    return Failed(job.id, job.attempt, failure, retry_in=None)


class InlinePublisher(LocalPublisher):
    """Runs the jobs that it is given, instead of sending messages about them."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        """Run the jobs to their ends; raises what they raise where errors are to propagate."""
        propagates = get_settings().tasks.eager_propagates
        for job in jobs:
            run = InlineRun(self._ledger.database)
            run_to_the_end(self._ledger, job.id, run)
            if propagates and run.error is not None:
                raise run.error


class AcceptAndRun(AcceptAndPublish):
    """Commits jobs, and then runs those that are new, at whatever time they were to start."""

    def starts_now(self, new_job: NewJob) -> bool:
        return True


def run_alone(
    task: AnyDefinition, payload: BaseModel, options: JobOptions, *, propagates: bool
) -> tuple[Acceptance, Ledger]:
    """Run one job on a ledger of its own, which is returned; raises what it raises if it `propagates`."""
    ledger = Ledger(memory_database(), get_settings())
    new = new_job(task, task.dump(payload), options)
    [acceptance] = ledger.accept([new])
    run = InlineRun(ledger.database, is_alone=True)
    run_to_the_end(ledger, new.id, run)
    if propagates and run.error is not None:
        raise run.error
    return acceptance, ledger

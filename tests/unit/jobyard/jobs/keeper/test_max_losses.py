"""How many workers a job may lose: as its task has declared, to any keeper; otherwise as the settings say."""

import pytest

from jobyard.jobs.job import Cause, Status
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare_tasks
from tests.support.ledger_jobs import accepted, found, take_back
from tests.support.waiting import wait_until


def declare(ledger: Ledger, max_losses: int | None) -> None:
    declare_tasks(ledger.database, [DeclaredTask("bad.deed", "bad.deed", "default", 4, 3, max_losses)])


def lose(ledger: Ledger, job_id: str) -> None:
    """Claim a job, and let its lease run out."""
    [job] = ledger.claim([job_id], "lost worker")
    lost_before = job.lost

    def is_taken() -> bool:
        take_back(ledger)
        return found(ledger, job_id).lost > lost_before

    wait_until(is_taken, 5, "the lease to run out")


@pytest.mark.parametrize(("max_losses", "starts"), [(0, 1), (1, 2), (2, 3), (None, 3)])
def test_a_job_is_started_again_as_often_as_its_task_says(
    own_ledger: Ledger, max_losses: int | None, starts: int
) -> None:
    declare(own_ledger, max_losses)
    job_id = accepted(own_ledger)
    for _ in range(starts):
        assert found(own_ledger, job_id).status is Status.QUEUED
        lose(own_ledger, job_id)
    job = found(own_ledger, job_id)
    assert (job.status, job.lost) == (Status.DEAD, starts)
    assert job.failure is not None
    assert job.failure.cause is Cause.LOST_WORKER
    says_never = "may not begin a second time (max_losses=0)" in job.failure.message
    assert says_never == (max_losses == 0)


def test_a_task_that_no_process_has_declared_is_the_settings_matter(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    lose(own_ledger, job_id)
    assert found(own_ledger, job_id).status is Status.QUEUED

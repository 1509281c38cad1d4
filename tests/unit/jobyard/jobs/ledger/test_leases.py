"""The leases of a process: renewed together, stopped in time."""

from datetime import timedelta

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import ClaimedJob, Succeeded
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.leases import Lease, Leases
from tests.support.ledger_jobs import accepted, found, take_back
from tests.support.waiting import wait_until

LEASE = timedelta(milliseconds=300)


def held_job(ledger: Ledger) -> ClaimedJob:
    [job] = ledger.claim([accepted(ledger)], "worker")
    return job


def test_what_is_held_stays_ours_beyond_its_lease(own_ledger: Ledger) -> None:
    leases, job = Leases(own_ledger, LEASE), held_job(own_ledger)
    other = held_job(own_ledger)
    with leases.hold([job], monotonic()) as [lease]:
        taken: list[str] = []

        def is_taken() -> bool:
            taken.extend(lost.id for lost in take_back(own_ledger))
            return bool(taken)

        wait_until(is_taken, 5, "the other's lease to run out")
        assert taken == [other.id]
        assert lease.stop_reason is None
        assert lease.fenced_at > monotonic()
    assert own_ledger.settle([Succeeded(job.id, job.attempt, "{}")])


def test_what_is_no_longer_held_is_no_longer_renewed(own_ledger: Ledger) -> None:
    leases, job = Leases(own_ledger, LEASE), held_job(own_ledger)
    with leases.hold([job], monotonic()):
        pass
    wait_until(lambda: take_back(own_ledger), 5, "the lease to run out")


def test_a_lease_that_another_has_taken_tells_its_holder_to_stop(own_ledger: Ledger) -> None:
    leases, job = Leases(own_ledger, timedelta(hours=1)), held_job(own_ledger)
    woken: list[bool] = []
    with leases.hold([job], monotonic()) as [lease]:
        lease.wake = lambda: woken.append(True)
        wait_until(lambda: take_back(own_ledger), 5, "the lease to run out in the ledger")
        leases.renew()
        assert lease.stop_reason is not None
        assert woken == [True]


def test_a_job_that_hangs_is_not_renewed_for_ever(own_ledger: Ledger) -> None:
    leases, job = Leases(own_ledger, LEASE), held_job(own_ledger)
    with leases.hold([job], monotonic(), limit_seconds=0.1):
        wait_until(lambda: take_back(own_ledger), 5, "the job to be taken back")
    assert found(own_ledger, job.id).lost == 1


class OutOfReach(Ledger):
    def renew(self, held: object) -> set[tuple[str, int]]:
        raise LedgerUnavailableError("gone")


def test_a_ledger_out_of_reach_fences_a_job_before_its_lease_ends(own_ledger: Ledger) -> None:
    away = OutOfReach(own_ledger.database, own_ledger._settings)
    claimed_at = monotonic()
    with Leases(away, timedelta(seconds=10)).hold([held_job(own_ledger)], claimed_at) as [lease]:
        assert lease.fenced_at == claimed_at + 8


def test_a_process_that_stops_tells_what_it_runs_and_what_it_would_begin(own_ledger: Ledger) -> None:
    leases, stopped = Leases(own_ledger, LEASE), []
    with leases.hold([held_job(own_ledger)], monotonic()) as [before]:
        before.wake = lambda: stopped.append(before)
        leases.hand_back_all()
        with leases.hold([held_job(own_ledger)], monotonic()) as [after]:
            assert isinstance(after, Lease)
            assert after.stop_reason == before.stop_reason == "the worker is stopping"
    assert stopped == [before]

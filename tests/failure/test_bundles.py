"""Bundles: what holds for a job alone holds for one among many in a message."""

import pytest

from jobyard.jobs.job import Cause, Status
from tests.support.broker import on_every_broker
from tests.support.own_yard import OwnYard

pytestmark = [pytest.mark.timeout(120), on_every_broker]


def test_quick_jobs_are_not_held_up_by_a_long_one_in_their_bundle(own: OwnYard) -> None:
    before, after = own.hand_in(how_many=10), own.hand_in(how_many=10)
    [long] = own.hand_in("sleep", seconds=8)
    own.publish([*before, long, *after])
    own.start_worker()
    own.wait_to_begin(long)
    own.wait_for(before + after, Status.SUCCEEDED, 6)
    assert own.job(long).status is Status.RUNNING
    own.wait_for([long], Status.SUCCEEDED)
    assert {job.attempt for job in own.jobs([*before, long, *after])} == {1}, (
        "nobody can tell that they went back"
    )
    own.check_invariant([*before, long, *after])


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_many_jobs_of_a_slow_task_are_shared_out(own: OwnYard, pool: str) -> None:
    ids = own.hand_in("sleep", how_many=24, seconds=0.2)
    own.publish(ids)
    own.start_worker(pool)
    own.wait_for(ids, Status.SUCCEEDED)
    assert len({job.worker for job in own.jobs(ids)}) > 1 or pool == "threads"
    own.check_invariant(ids)


def test_a_worker_that_is_killed_in_a_bundle_loses_no_job_of_it(own: OwnYard) -> None:
    worker = own.start_worker()
    ids = own.hand_in("sleep", how_many=40, seconds=0.05)
    own.publish(ids)
    own.wait_until(lambda: len(own.runs()) > 2, 20, "the bundle to begin")
    worker.kill()
    own.start("keeper", "jobyard.worker.keeper_thread")
    held = [job.id for job in own.jobs(ids) if job.status is Status.RUNNING]
    assert held

    def sent_again() -> list[list[str]]:
        return [bundle for bundle in own.bundles() if bundle != ids]  # RabbitMQ has given that one back

    def is_sent_again() -> bool:
        return set(held) <= {job_id for bundle in sent_again() for job_id in bundle}

    own.wait_until(is_sent_again, 20, "what it held to be sent again")
    assert all(len(bundle) == 1 for bundle in sent_again() if bundle[0] in held), "one of them may be guilty"
    own.start_worker()
    own.wait_for(ids, Status.SUCCEEDED)
    own.check_invariant(ids)


def test_each_job_of_a_bundle_ends_in_its_own_way(own: OwnYard) -> None:
    fine, failing, discarded, cancelled = (
        own.hand_in(then)[0] for then in ("return", "raise", "discard", "return")
    )
    own.ledger.cancel(cancelled)
    own.publish([failing, fine, cancelled, discarded, fine])
    own.start_worker()
    own.wait_for([fine], Status.SUCCEEDED)
    own.wait_for([failing, discarded], Status.DEAD)
    assert own.job(cancelled).status is Status.CANCELLED
    assert [job.failure.cause for job in own.jobs([failing, discarded]) if job.failure] == [
        Cause.EXCEPTION,
        Cause.DISCARDED,
    ]
    own.check_invariant([fine, failing, discarded])


def test_the_publisher_makes_bundles_of_what_is_handed_in_together(own: OwnYard) -> None:
    ids = own.hand_in(how_many=120)
    own.start("keeper", "jobyard.worker.keeper_thread")
    own.wait_until(lambda: len(own.sent()) == 120, 20, "every job to be sent")
    assert len(own.bundles()) < 10
    own.start_worker()
    own.wait_for(ids, Status.SUCCEEDED)
    own.check_invariant(ids)

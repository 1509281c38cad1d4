"""Keepers: several side by side, and alone (row 25 of the matrix)."""

from datetime import timedelta

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.replay_orders import ReplayStatus, get_replay, order_replay
from tests.support.broker import on_every_broker
from tests.support.own_yard import OwnYard


@on_every_broker
def test_row_25_many_keepers_do_the_work_of_one(own: OwnYard) -> None:
    # A keeper's first publishing takes a while on a slow machine, and what it sends is unsent so far.
    own.settings["JOBYARD_KEEPER__UNSENT_AFTER"] = "10"
    due = own.hand_in(how_many=150, delay=timedelta(seconds=4))
    unsent = own.hand_in(how_many=150)
    keepers = [own.start("keeper", "jobyard.worker.keeper_thread") for _ in range(3)]
    own.wait_until(lambda: all("keeping" in keeper.output() for keeper in keepers), 20, "the keepers")
    own.wait_until(
        lambda: all(job.published_at for job in own.jobs(due + unsent)), 30, "every job to be published"
    )
    assert {job.publish_count for job in own.jobs(due + unsent)} == {1}
    assert len(own.sent()) == 300


@on_every_broker
def test_a_keeper_needs_no_worker_and_stops_when_it_is_told_to(own: OwnYard) -> None:
    keeper = own.start("keeper", "jobyard.worker.keeper_thread")
    [job_id] = own.hand_in()
    own.wait_until(lambda: own.job(job_id).publish_count == 1, 20, "the job to be published")
    assert keeper.stop() == 0
    assert own.job(job_id).status is Status.QUEUED


def test_redis_keeps_nothing_of_what_a_worker_has_fetched(own: OwnYard) -> None:
    # On this the whole of rows 9 to 16 rests; a kombu that changes underneath shows here.
    own.start_worker()
    [job_id] = own.hand_in("sleep", seconds=2)
    own.wait_to_begin(job_id)
    assert not own.redis.exists("unacked", "unacked_index")
    own.wait_for([job_id], Status.SUCCEEDED)


@on_every_broker
def test_an_order_to_replay_is_carried_out_once_by_many_keepers(own: OwnYard) -> None:
    own.settings["JOBYARD_KEEPER__UNSENT_AFTER"] = "60"  # so that no job is sent again for being slow
    worker = own.start_worker()
    dead = own.hand_in("raise", how_many=60)
    own.publish(dead)
    own.wait_for(dead, Status.DEAD)
    assert worker.stop() == 0
    with own.ledger.database.writing() as connection:
        replay_id = order_replay(connection, dead, is_canary=False, actor="local", reason="again")
    for _ in range(3):
        own.start("keeper", "jobyard.worker.keeper_thread")
    own.wait_until(
        lambda: get_replay(own.ledger.database, replay_id).status is ReplayStatus.DONE, 30, "the order to end"
    )
    own.wait_until(lambda: len(own.sent()) >= len(dead), 20, "every job to be published")
    assert {(job.status, job.replays) for job in own.jobs(dead)} == {(Status.QUEUED, 1)}
    assert len(own.sent()) == len(dead)

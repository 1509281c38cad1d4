"""What only RabbitMQ does to its workers: it loses patience with a long job, and takes queues from them."""

import signal
from collections.abc import Iterator

import pytest

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from tests.support.broker import on_rabbitmq
from tests.support.own_yard import OwnYard
from tests.support.processes import Program, free_port
from tests.support.rabbitmq_broker import RabbitMQBroker

pytestmark = [pytest.mark.timeout(180), on_rabbitmq]


@pytest.fixture
def impatient(own: OwnYard) -> Iterator[RabbitMQBroker]:
    """A RabbitMQ that closes a channel after 2 s with a message unacknowledged; its default is 30 minutes."""
    broker = own.broker
    assert isinstance(broker, RabbitMQBroker)
    with broker.set_for_new_channels(consumer_timeout=2000, channel_tick_interval=500):
        yield broker


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_job_longer_than_rabbitmqs_patience_runs_once_and_holds_up_nobody(
    own: OwnYard, impatient: RabbitMQBroker, pool: str
) -> None:
    worker = own.start_worker(pool, 4)
    long, *others = own.hand_in("sleep", seconds=9) + own.hand_in("sleep", 6, seconds=1)
    own.wait_until(
        lambda: "delivery acknowledgement on channel" in worker.output(), 20, "the channel to close"
    )
    others += own.hand_in(how_many=10)
    own.wait_for(others, Status.SUCCEEDED)
    assert own.job(long).status is Status.RUNNING
    own.wait_for([long], Status.SUCCEEDED)
    assert len(own.runs()) == len([long, *others])
    assert all((job.attempt, job.lost) == (1, 0) for job in own.jobs([long, *others]))
    own.wait_until(lambda: impatient.depth() == 0, 20, "every message to be dropped")
    assert worker.process.poll() is None


def test_a_queue_that_is_deleted_is_declared_again(own: OwnYard, own_worker: Program) -> None:
    assert isinstance(own.broker, RabbitMQBroker)
    job_ids = own.hand_in("sleep", 8, seconds=1)
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own.broker.delete_queue("default")
    job_ids += own.hand_in(how_many=3)
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert len(own.runs()) == len(job_ids)
    assert own_worker.process.poll() is None


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_that_is_cut_off_connects_again_and_is_not_deaf(own: OwnYard, pool: str) -> None:
    worker = own.start_worker(pool, 4)
    job_ids = own.hand_in("sleep", 40, seconds=0.3)
    own.publish(job_ids[:20])
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own.broker.reset_connections()
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert worker.output().count("Connection to broker lost") == 1, worker.output()
    own.broker.restart()
    job_ids += own.hand_in(how_many=10)
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)
    assert worker.process.poll() is None


def test_a_silence_is_noticed_by_a_worker_that_has_nothing_to_do(own: OwnYard, own_worker: Program) -> None:
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    own.broker.kill(signal.SIGSTOP)
    own.wait_until(lambda: "Connection to broker lost" in own_worker.output(), 30, "missed heartbeats")
    own.broker.kill(signal.SIGCONT)
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert own_worker.process.poll() is None


def test_a_worker_goes_on_at_the_next_node_and_is_as_safe_there(own: OwnYard) -> None:
    good = own.settings["JOBYARD_BROKER__URL"]
    refused = good.replace("guest:guest", "guest:wrong")
    away = good.replace(f":{own.broker.port}", f":{free_port()}")
    own.settings["JOBYARD_BROKER__URL"] = f"{away};{refused};{good}"
    worker = own.start_worker()
    own.broker.push_bytes(b"rubbish")
    own.wait_until(lambda: own.fault_count(FaultKind.BAD_MESSAGE) == 1, 30, "the message to be counted")
    own.wait_for(own.hand_in(how_many=3), Status.SUCCEEDED)
    assert worker.process.poll() is None

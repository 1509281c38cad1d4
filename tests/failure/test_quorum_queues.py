"""RabbitMQ's quorum queues, which know no priorities: two bands, and the rest as on classic queues."""

import httpx
import pytest

from jobyard.jobs.job import Status
from tests.support.broker import on_rabbitmq
from tests.support.own_yard import OwnYard
from tests.support.rabbitmq_broker import RabbitMQBroker

pytestmark = on_rabbitmq


@pytest.fixture
def quorum(own: OwnYard) -> OwnYard:
    own.settings["JOBYARD_BROKER__QUEUE_TYPE"] = "quorum"
    return own


def depth(own: OwnYard) -> int:
    answer = httpx.get(f"http://127.0.0.1:{own.port('API')}/v1/queues").json()
    return next(int(queue["messages"]) for queue in answer if queue["name"] == "default")


def test_what_is_urgent_does_not_wait_for_what_is_not(quorum: OwnYard) -> None:
    quorum.start_worker(concurrency=1)
    usual = quorum.hand_in("sleep", 100, seconds=0.1)
    quorum.wait_until(lambda: len(quorum.runs()) >= 3, 20, "the work to begin")
    [urgent] = quorum.hand_in(priority=9)
    quorum.wait_for([urgent], Status.SUCCEEDED)
    # Not more than the bundles that the worker had in hand, of three quarters of a second each.
    assert len(quorum.runs()) < len(usual) // 2


def test_messages_of_both_bands_count_outlive_the_node_and_run(quorum: OwnYard) -> None:
    quorum.start_worker(queues="images").stop()
    quorum.start_api()
    job_ids = []
    for priority in (0, 4, 5, 9):
        job_ids += quorum.hand_in(priority=priority)
    worker = quorum.start_worker(queues="images")  # its keeper publishes them
    quorum.wait_until(lambda: depth(quorum) == 4, 20, "a message for each")
    worker.stop()
    quorum.broker.restart()
    quorum.wait_until(lambda: depth(quorum) == 4, 20, "the node to have counted again")
    quorum.start_worker(queues="default")
    quorum.wait_for(job_ids, Status.SUCCEEDED)
    assert len(quorum.runs()) == 4


def test_celery_sets_up_no_queues_for_delayed_deliveries(quorum: OwnYard) -> None:
    quorum.start_worker()
    assert isinstance(quorum.broker, RabbitMQBroker)
    names = quorum.broker.names()
    assert names >= {"jobyard.email.usual", "jobyard.email.urgent"}
    assert not any("delayed" in name for name in names)

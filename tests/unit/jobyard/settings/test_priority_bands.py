"""Which of the broker's queues a message goes to."""

import pytest

from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue, broker_queues, queue_of
from jobyard.settings.queues import PRIORITIES
from jobyard.settings.sections import BrokerSettings


def settings(url: str, queue_type: str) -> Settings:
    return Settings(broker=BrokerSettings.model_validate({"url": url, "queue_type": queue_type}))


def test_a_quorum_queue_has_its_own_queue_for_what_is_urgent() -> None:
    quorum = settings("amqp://example.org", "quorum")
    assert broker_queues("email", quorum) == ["jobyard.email.usual", "jobyard.email.urgent"]
    assert [broker_queue("email", priority, quorum) for priority in PRIORITIES] == [
        *["jobyard.email.usual"] * 5,
        *["jobyard.email.urgent"] * 5,
    ]


@pytest.mark.parametrize(
    ("url", "queue_type", "name"),
    [("amqp://example.org", "classic", "jobyard.email"), ("redis://example.org", "quorum", "email")],
)
def test_elsewhere_a_queue_is_one_queue(url: str, queue_type: str, name: str) -> None:
    plain = settings(url, queue_type)
    assert broker_queues("email", plain) == [name]
    assert {broker_queue("email", priority, plain) for priority in PRIORITIES} == {name}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_queue_is_found_by_its_own_name_and_by_the_brokers(queue_type: str) -> None:
    rabbitmq = settings("amqp://example.org", queue_type)
    for name in ("email", *broker_queues("email", rabbitmq)):
        assert queue_of(name, rabbitmq) == "email"

"""Which of the broker's queues a message goes to."""

import pytest

from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue, broker_queues
from jobyard.settings.queues import PRIORITIES
from jobyard.settings.sections import BrokerSettings


def settings(url: str, queue_type: str) -> Settings:
    return Settings(broker=BrokerSettings.model_validate({"url": url, "queue_type": queue_type}))


def test_a_quorum_queue_has_its_own_queue_for_what_is_urgent() -> None:
    quorum = settings("amqp://example.org", "quorum")
    assert broker_queues("email", quorum) == ["email.usual", "email.urgent"]
    assert [broker_queue("email", priority, quorum) for priority in PRIORITIES] == [
        *["email.usual"] * 5,
        *["email.urgent"] * 5,
    ]


@pytest.mark.parametrize(
    ("url", "queue_type"), [("amqp://example.org", "classic"), ("redis://example.org", "quorum")]
)
def test_elsewhere_a_queue_is_one_queue(url: str, queue_type: str) -> None:
    plain = settings(url, queue_type)
    assert broker_queues("email", plain) == ["email"]
    assert {broker_queue("email", priority, plain) for priority in PRIORITIES} == {"email"}

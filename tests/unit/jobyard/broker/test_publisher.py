"""Which jobs get an early message, which are sent together, and what is noted as published."""

from types import SimpleNamespace
from typing import Any

import pytest

from jobyard.broker import publisher as module
from jobyard.broker.publisher import QUIET_SECONDS, Publisher
from jobyard.broker.redis.early_sender import EarlyMessage
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import NewJob, QueuedJob, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.settings import Settings
from tests.support.waiting import wait_until


class Early:
    """In the place of the sender to Redis: each of `answers` is what one call of `published` returns."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []
        self.confirmed: list[EarlyMessage] = []

    def send(self, job: QueuedJob) -> EarlyMessage:
        return EarlyMessage(job, monotonic())

    def confirm(self, message: EarlyMessage) -> None:
        self.confirmed.append(message)

    @property
    def has_confirmed(self) -> bool:
        return bool(self.answers)

    def published(self) -> list[str]:
        return self.answers.pop(0) if self.answers else []

    def prepare(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def publisher(own_ledger: Ledger, early: Early, sent: list[str]) -> Publisher:
    publisher = Publisher(own_ledger, own_ledger._settings)
    stand_in: Any = early
    publisher._early = stand_in
    sender: Any = SimpleNamespace(send=lambda bundles: sent.extend(job.id for [job] in bundles))
    publisher._sender = sender
    return publisher


@pytest.fixture
def early() -> Early:
    return Early()


@pytest.fixture
def sent() -> list[str]:
    """The jobs that were sent the usual way."""
    return []


def job() -> QueuedJob:
    return QueuedJob(new_id(), "any", "default", 4)


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_a_job_gets_an_early_message_where_jobs_are_rare_and_none_where_they_come_often(
    publisher: Publisher, clock: SimpleNamespace
) -> None:
    sent = []
    for pause in (1, QUIET_SECONDS * 1.1, QUIET_SECONDS / 2, QUIET_SECONDS / 2, QUIET_SECONDS * 1.1):
        clock.now += pause
        sent.append(publisher.send_early(job()) is not None)
    assert sent == [True, True, False, False, True]


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_no_early_message_overtakes_what_waits_to_be_sent_and_none_goes_to_a_broker_that_is_away(
    publisher: Publisher, clock: SimpleNamespace
) -> None:
    hindrances: list[dict[str, Any]] = [
        {"_waiting": [job()]},
        {"_is_busy": True},
        {"_paused_until": 2000.0},
        {"_early": None},
    ]
    for hindrance in hindrances:
        clock.now += 1
        with pytest.MonkeyPatch.context() as patch:
            for name, value in hindrance.items():
                patch.setattr(publisher, name, value)
            assert not publisher.send_early(job()), hindrance
    clock.now += 1
    assert publisher.send_early(job())


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//", "sqs://?region=eu-central-1"]
)
def test_early_messages_are_for_redis_and_can_be_switched_off(
    own_ledger: Ledger, url: str, *, is_on: bool
) -> None:
    settings = Settings.model_validate({"broker": {"url": url, "early": is_on}})
    publisher = Publisher(own_ledger, settings)
    assert (publisher._early is not None) is (is_on and url.startswith("redis:"))


def accepted(ledger: Ledger) -> QueuedJob:
    [acceptance] = ledger.accept([NewJob(new_id(), "any", "{}", 3)])
    return QueuedJob(acceptance.job_id, "any", "default", 4)


def is_noted(ledger: Ledger, job: QueuedJob) -> bool:
    return get_job(ledger.database, job.id).published_at is not None


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_a_job_is_noted_as_published_when_redis_has_taken_its_message_and_not_before(
    publisher: Publisher, own_ledger: Ledger, early: Early, sent: list[str]
) -> None:
    one = accepted(own_ledger)
    message = publisher.send_early(one)
    assert message is not None
    noted: list[bool] = []

    def published() -> list[str]:
        noted.append(is_noted(own_ledger, one))
        return early.answers.pop(0)

    early.published = published  # type: ignore[method-assign]
    early.answers = [[], [one.id]]  # the answer is late
    publisher.confirm_early(message)
    wait_until(lambda: is_noted(own_ledger, one), 10, "the note")
    assert (noted, sent, early.confirmed) == ([False, False], [], [message])


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_a_job_whose_message_redis_did_not_take_is_sent_and_noted_then(
    publisher: Publisher, own_ledger: Ledger, early: Early, sent: list[str]
) -> None:
    one, other = accepted(own_ledger), accepted(own_ledger)
    message = publisher.send_early(one)
    assert message is not None
    publisher.confirm_early(message)
    publisher.publish([other])
    wait_until(lambda: is_noted(own_ledger, other), 10, "the note about another")
    assert not is_noted(own_ledger, one)
    publisher.publish([one])  # as the sender does with what was lost
    wait_until(lambda: is_noted(own_ledger, one), 10, "the note")
    assert sent == [other.id, one.id]

"""When a producer rings at once, when what it hands in goes together, and what is noted as published."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jobyard.broker import publisher as module
from jobyard.broker.publisher import QUIET_SECONDS, Publisher
from jobyard.broker.redis.early_sender import Rung
from jobyard.jobs.clock import monotonic
from jobyard.jobs.job import NewJob, QueuedJob, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from tests.support.waiting import wait_until


class Bell:
    """In the place of one to Redis; `hears` what is answered when somebody listens."""

    def __init__(self) -> None:
        self.rung: list[Rung] = []
        self.hears: Callable[[], object] = lambda: None

    def ring(self, job: QueuedJob) -> Rung:
        self.rung.append(Rung(job, monotonic()))
        return self.rung[-1]

    def listen(self) -> None:
        self.hears()

    def prepare(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def publisher(own_ledger: Ledger, bell: Bell, sent: list[str]) -> Publisher:
    publisher = Publisher(own_ledger, own_ledger._settings)
    stand_in: Any = bell
    publisher._bell = stand_in
    sender: Any = SimpleNamespace(send=lambda bundles: sent.extend(job.id for [job] in bundles))
    publisher._post = sender
    return publisher


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def sent() -> list[str]:
    """The jobs that were sent the usual way."""
    return []


def job() -> QueuedJob:
    return QueuedJob(new_id(), "any", "default", 4)


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_on_a_quiet_yard_each_job_is_rung_for_and_where_they_come_often_none(
    publisher: Publisher, clock: SimpleNamespace
) -> None:
    heard = []
    for pause in (1, QUIET_SECONDS * 1.1, QUIET_SECONDS / 2, QUIET_SECONDS / 2, QUIET_SECONDS * 1.1):
        clock.now += pause
        heard.append(publisher.ring(job()) is not None)
    assert heard == [True, True, False, False, True]


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_nobody_rings_past_what_waits_to_be_sent_nor_where_the_broker_is_away(
    publisher: Publisher, clock: SimpleNamespace
) -> None:
    for hindrance in ({"_waiting": [job()]}, {"_is_busy": True}, {"_silent_until": 2000.0}, {"_bell": None}):
        clock.now += 1
        with pytest.MonkeyPatch.context() as patch:
            for name, value in hindrance.items():
                patch.setattr(publisher, name, value)
            assert not publisher.ring(job()), hindrance
    clock.now += 1
    assert publisher.ring(job())


def accepted(ledger: Ledger) -> QueuedJob:
    [acceptance] = ledger.accept([NewJob(new_id(), "any", "{}", 3)])
    return QueuedJob(acceptance.job_id, "any", "default", 4)


def is_noted(ledger: Ledger, job: QueuedJob) -> bool:
    return get_job(ledger.database, job.id).published_at is not None


def rung_for(publisher: Publisher, job: QueuedJob) -> Rung:
    rung = publisher.ring(job)
    assert rung is not None
    return rung


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_what_was_rung_for_is_noted_as_published_when_redis_has_taken_it_and_not_before(
    publisher: Publisher, own_ledger: Ledger, bell: Bell, sent: list[str]
) -> None:
    listened: list[bool | None] = []
    one = accepted(own_ledger)
    rung = rung_for(publisher, one)

    def hear() -> None:
        listened.append(is_noted(own_ledger, one))
        rung.is_taken = True if len(listened) == 2 else None  # the answer is late

    bell.hears = hear
    publisher.has_rung(rung)
    wait_until(lambda: is_noted(own_ledger, one), 10, "the note")
    assert (listened, sent) == ([False, False], [])


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_what_redis_did_not_take_before_the_commit_is_sent_when_it_is_committed(
    publisher: Publisher, own_ledger: Ledger, sent: list[str]
) -> None:
    one = accepted(own_ledger)
    rung = rung_for(publisher, one)
    rung.is_taken = False
    publisher.has_rung(rung)
    wait_until(lambda: is_noted(own_ledger, one), 10, "the note")
    assert sent == [one.id]


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_what_redis_did_not_take_is_not_noted_for_that(
    publisher: Publisher, own_ledger: Ledger, bell: Bell, sent: list[str]
) -> None:
    one, other = accepted(own_ledger), accepted(own_ledger)
    rung = rung_for(publisher, one)
    bell.hears = lambda: setattr(rung, "is_taken", False)  # and a bell would publish it
    publisher.has_rung(rung)
    publisher.publish([other])
    wait_until(lambda: is_noted(own_ledger, other), 10, "the note about another")
    wait_until(lambda: not publisher._rung, 10, "its answer")
    assert not is_noted(own_ledger, one)
    assert sent == [other.id]

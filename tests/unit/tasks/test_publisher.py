"""When a producer rings at once, and when what it hands in goes together."""

from types import SimpleNamespace
from typing import Any

import pytest

from jobs.job import QueuedJob, new_id
from jobs.ledger import Ledger
from tasks import publisher as module
from tasks.publisher import QUIET_SECONDS, Publisher


class Line:
    """In the place of a bell; every ring is heard."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, job: QueuedJob) -> bool:
        self.rung.append(job.id)
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def publisher(own_ledger: Ledger) -> Publisher:
    publisher = Publisher(own_ledger, own_ledger._settings)
    bell: Any = Line()
    publisher._bell = bell
    return publisher


def job() -> QueuedJob:
    return QueuedJob(new_id(), "any", "default", 4)


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_on_a_quiet_yard_each_job_is_rung_for_and_where_they_come_often_none(
    publisher: Publisher, clock: SimpleNamespace
) -> None:
    heard = []
    for pause in (1, QUIET_SECONDS * 1.1, QUIET_SECONDS / 2, QUIET_SECONDS / 2, QUIET_SECONDS * 1.1):
        clock.now += pause
        heard.append(publisher.ring(job()))
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

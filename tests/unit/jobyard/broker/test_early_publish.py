"""Whom a message may be ahead of, and what is sent when the commit was slow or did not come."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from jobyard.broker import early_publish as doorbell
from jobyard.broker.early_publish import Doorbell
from jobyard.broker.publisher import Publisher
from jobyard.broker.redis.early_sender import Rung
from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob, QueuedJob, Verdict, new_id


class Written:
    """In the place of a publisher: what it was asked for."""

    def __init__(self, *, is_free: bool = True) -> None:
        self.is_free = is_free
        self.rung: list[str] = []
        self.noted: list[str] = []
        self.published: list[str] = []

    def ring(self, job: QueuedJob) -> Rung | None:
        if not self.is_free:
            return None
        self.rung.append(job.id)
        return Rung(job, sent_at=monotonic())

    def has_rung(self, rung: Rung) -> None:
        self.noted.append(rung.job.id)

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        self.published += [job.id for job in jobs]


def new(**fields: Any) -> NewJob:
    usual: dict[str, Any] = {"id": new_id(), "task": "any", "payload": "{}", "max_attempts": 3}
    return NewJob(**usual | fields)


def well(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    return [Acceptance(new.id, Verdict.NEW) for new in new_jobs]


def badly(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
    raise LedgerUnavailableError("away")


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def bell(written: Written) -> Doorbell:
    return Doorbell(cast(Publisher, written))


def hand_in(bell: Doorbell, *new_jobs: NewJob, accept: doorbell.Accept = well) -> None:
    bell.accept(accept, new_jobs, bell.ring_ahead(new_jobs))


def test_one_job_by_itself_is_rung_for_before_it_is_accepted_and_once(
    bell: Doorbell, written: Written
) -> None:
    one = new()

    def accept(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        assert written.rung == [one.id]
        return well(new_jobs)

    hand_in(bell, one, accept=accept)
    assert (written.noted, written.published) == ([one.id], [])


@pytest.mark.parametrize(
    "fields",
    [
        {"idempotency_key": "one"},
        {"unique_key": "one"},
        {"tags": ("one",)},
        {"bulk": 1},
    ],
    ids=str,
)
def test_what_may_be_another_job_is_published_when_it_is_accepted(
    bell: Doorbell, written: Written, fields: dict[str, Any]
) -> None:
    one = new(**fields)
    hand_in(bell, one)
    assert (written.rung, written.published) == ([], [one.id])


@pytest.mark.parametrize(
    "fields", [{"delay": timedelta(seconds=1)}, {"run_at": datetime(2100, 1, 1, tzinfo=UTC)}], ids=str
)
def test_nobody_rings_for_what_is_to_wait(bell: Doorbell, written: Written, fields: dict[str, Any]) -> None:
    hand_in(bell, new(**fields))
    assert (written.rung, written.published) == ([], [])


def test_several_jobs_go_together_when_they_are_accepted(bell: Doorbell, written: Written) -> None:
    several = [new(), new()]
    hand_in(bell, *several)
    assert (written.rung, written.published) == ([], [one.id for one in several])


def test_where_somebody_is_at_it_already_the_publisher_sends_it(bell: Doorbell, written: Written) -> None:
    written.is_free = False
    one = new()
    hand_in(bell, one)
    assert (written.noted, written.published) == ([], [one.id])


def test_a_job_whose_commit_took_longer_than_a_worker_looks_is_published_as_well(
    bell: Doorbell, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = new()
    rung = bell.ring_ahead([one])
    assert rung is not None
    monkeypatch.setattr(doorbell, "monotonic", lambda: rung.sent_at + 2 * doorbell.LONGEST_COMMIT_SECONDS)
    bell.accept(well, [one], rung)
    assert (written.rung, written.noted, written.published) == ([one.id], [], [one.id])


def test_while_nothing_can_be_accepted_nobody_is_rung_for(bell: Doorbell, written: Written) -> None:
    first, second, third, fourth = new(), new(), new(), new()
    for refused in (first, second):
        with pytest.raises(LedgerUnavailableError):
            hand_in(bell, refused, accept=badly)
    assert (written.rung, written.noted, written.published) == ([first.id], [], [])
    hand_in(bell, third)
    hand_in(bell, fourth)
    assert (written.rung, written.published) == ([first.id, fourth.id], [third.id])


def test_a_job_that_was_there_already_is_not_published(bell: Doorbell, written: Written) -> None:
    def twin(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        return [Acceptance(new_id(), Verdict.DUPLICATE) for _ in new_jobs]

    hand_in(bell, new(unique_key="one"), accept=twin)
    assert (written.rung, written.published) == ([], [])

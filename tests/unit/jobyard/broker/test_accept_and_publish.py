"""Which message may be ahead of its row, and what is sent when the commit was slow or did not come."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from jobyard.broker import accept_and_publish as module
from jobyard.broker.accept_and_publish import AcceptAndPublish
from jobyard.broker.publisher import Publisher
from jobyard.broker.redis.early_sender import EarlyMessage
from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob, QueuedJob, Verdict, new_id
from jobyard.jobs.ledger.accept_for_certain import Accept


class Recorder:
    """In the place of a publisher: what it was asked for."""

    def __init__(self, *, is_free: bool = True) -> None:
        self.is_free = is_free
        self.early: list[str] = []
        self.confirmed: list[str] = []
        self.published: list[str] = []

    def send_early(self, job: QueuedJob) -> EarlyMessage | None:
        if not self.is_free:
            return None
        self.early.append(job.id)
        return EarlyMessage(job, sent_at=monotonic())

    def confirm_early(self, message: EarlyMessage) -> None:
        self.confirmed.append(message.job.id)

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
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def acceptor(recorder: Recorder) -> AcceptAndPublish:
    return AcceptAndPublish(cast(Publisher, recorder), patience_seconds=0)


def hand_in(acceptor: AcceptAndPublish, *new_jobs: NewJob, accept: Accept = well) -> None:
    acceptor(accept, new_jobs)


def test_the_message_about_one_plain_job_is_sent_before_it_is_accepted_and_once(
    acceptor: AcceptAndPublish, recorder: Recorder
) -> None:
    one = new()

    def accept(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        assert recorder.early == [one.id]
        return well(new_jobs)

    hand_in(acceptor, one, accept=accept)
    assert (recorder.confirmed, recorder.published) == ([one.id], [])


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
    acceptor: AcceptAndPublish, recorder: Recorder, fields: dict[str, Any]
) -> None:
    one = new(**fields)
    hand_in(acceptor, one)
    assert (recorder.early, recorder.published) == ([], [one.id])


@pytest.mark.parametrize(
    "fields", [{"delay": timedelta(seconds=1)}, {"run_at": datetime(2100, 1, 1, tzinfo=UTC)}], ids=str
)
def test_no_message_is_sent_about_a_job_that_is_to_wait(
    acceptor: AcceptAndPublish, recorder: Recorder, fields: dict[str, Any]
) -> None:
    hand_in(acceptor, new(**fields))
    assert (recorder.early, recorder.published) == ([], [])


def test_several_jobs_go_together_when_they_are_accepted(
    acceptor: AcceptAndPublish, recorder: Recorder
) -> None:
    several = [new(), new()]
    hand_in(acceptor, *several)
    assert (recorder.early, recorder.published) == ([], [one.id for one in several])


def test_where_an_early_message_cannot_be_sent_the_publisher_sends_it(
    acceptor: AcceptAndPublish, recorder: Recorder
) -> None:
    recorder.is_free = False
    one = new()
    hand_in(acceptor, one)
    assert (recorder.confirmed, recorder.published) == ([], [one.id])


def test_a_job_whose_commit_took_longer_than_a_worker_looks_is_published_as_well(
    acceptor: AcceptAndPublish, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = new()
    message = acceptor.send_early([one])
    assert message is not None
    monkeypatch.setattr(module, "monotonic", lambda: message.sent_at + 2 * module.LONGEST_COMMIT_SECONDS)
    acceptor.accept(well, [one], message)
    assert (recorder.early, recorder.confirmed, recorder.published) == ([one.id], [], [one.id])


def test_while_nothing_can_be_accepted_no_early_message_is_sent(
    acceptor: AcceptAndPublish, recorder: Recorder
) -> None:
    first, second, third, fourth = new(), new(), new(), new()
    for refused in (first, second):
        with pytest.raises(LedgerUnavailableError):
            hand_in(acceptor, refused, accept=badly)
    assert (recorder.early, recorder.confirmed, recorder.published) == ([first.id], [], [])
    hand_in(acceptor, third)
    hand_in(acceptor, fourth)
    assert (recorder.early, recorder.published) == ([first.id, fourth.id], [third.id])


def test_a_job_that_was_there_already_is_not_published(
    acceptor: AcceptAndPublish, recorder: Recorder
) -> None:
    def twin(new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        return [Acceptance(new_id(), Verdict.DUPLICATE) for _ in new_jobs]

    hand_in(acceptor, new(unique_key="one"), accept=twin)
    assert (recorder.early, recorder.published) == ([], [])

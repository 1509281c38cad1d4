"""What becomes of a message whose answer is late, bad or missing; test_early_messages.py has a server."""

import os
from typing import Any, NoReturn

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from jobyard.broker.redis import early_sender
from jobyard.broker.redis.early_sender import EarlyMessage, EarlySender, Kind, State
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.worker.execution.interruptions import AttemptStopped, SoftLimitReached


class Connection:
    """In the place of a connection to Redis: `answers` are what can be read from it."""

    def __init__(self) -> None:
        self.templates: set[Kind] = set()
        self.sent: list[str] = []
        self.answers: list[Exception | int] = []
        self.fault: BaseException | None = None
        self.is_closed = False

    def add_template(self, kind: Kind) -> None:
        self.templates.add(kind)

    def send(self, job: QueuedJob) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append(job.id)

    def has_data(self) -> bool:
        return bool(self.answers)

    def read(self) -> None:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

    def close(self) -> None:
        self.is_closed = True


def job(name: str) -> QueuedJob:
    return QueuedJob(name, "any", "default", 4)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    opened: list[Connection] = []

    def open_one(_: str) -> Any:
        opened.append(Connection())
        return opened[-1]

    monkeypatch.setattr(early_sender, "_Connection", open_one)
    return opened


@pytest.fixture
def resent() -> list[str]:
    """The jobs that are to be sent another way."""
    return []


@pytest.fixture
def sender(connections: list[Connection], resent: list[str]) -> EarlySender:
    sender = EarlySender(Settings(), on_lost=lambda job: resent.append(job.id))
    assert not sender.send(job("before the connection is open"))
    sender.prepare()
    assert len(connections) == 1
    return sender


def send(sender: EarlySender, name: str) -> EarlyMessage:
    message = sender.send(job(name))
    assert message is not None
    return message


def send_and_commit(sender: EarlySender, name: str) -> EarlyMessage:
    message = send(sender, name)
    sender.confirm(message)
    return message


def test_a_connection_that_no_job_asked_for_is_not_opened(connections: list[Connection]) -> None:
    EarlySender(Settings(), on_lost=lambda job: None).prepare()
    assert connections == []


def test_the_template_of_another_kind_is_made_for_the_same_connection_and_not_while_a_job_is_sent(
    sender: EarlySender, connections: list[Connection]
) -> None:
    another = QueuedJob("a", "another", "default", 4)
    assert sender.send(another) is None
    sender.prepare()
    assert sender.send(another)
    assert len(connections) == 1


def test_where_no_connection_can_be_opened_it_is_not_tried_for_every_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def refuse(url: str) -> Any:
        tried.append(url)
        raise RedisConnectionError("max number of clients reached")

    monkeypatch.setattr(early_sender, "_Connection", refuse)
    sender = EarlySender(Settings(), on_lost=lambda job: None)
    for _ in range(3):
        assert sender.send(job("a")) is None
        sender.prepare()
    assert len(tried) == 1


def test_one_message_is_under_way_at_a_time_and_the_next_when_it_was_answered(
    sender: EarlySender, connections: list[Connection], resent: list[str]
) -> None:
    [connection] = connections
    first = send_and_commit(sender, "a")
    assert not sender.send(job("b")), "one answer is outstanding"
    assert first.state is State.COMMITTED
    connection.answers.append(1)
    second = send_and_commit(sender, "c")
    connection.answers.append(2)
    assert sender.published() == ["a", "c"]
    assert sender.published() == []
    assert [first.state, second.state] == [State.PUBLISHED, State.PUBLISHED]
    send_and_commit(sender, "d")
    assert (connection.sent, resent) == (["a", "c", "d"], [])


def test_a_message_that_redis_took_before_the_commit_is_published_with_the_commit(
    sender: EarlySender, connections: list[Connection], resent: list[str]
) -> None:
    message = send(sender, "a")
    connections[0].answers.append(1)
    assert sender.published() == []
    assert message.state is State.TAKEN
    assert not sender.has_confirmed
    sender.confirm(message)
    assert sender.has_confirmed
    assert (sender.published(), message.state, resent) == (["a"], State.PUBLISHED, [])
    assert not sender.has_confirmed


BAD_ANSWERS = [OutOfMemoryError("full"), RedisConnectionError("gone"), OSError("reset")]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=repr)
@pytest.mark.parametrize("notices", ["the next job", "the publisher"])
def test_a_message_that_was_not_taken_is_sent_another_way(
    sender: EarlySender, connections: list[Connection], resent: list[str], answer: Exception, notices: str
) -> None:
    message = send_and_commit(sender, "a")
    connections[0].answers.append(answer)
    if notices == "the publisher":
        assert sender.published() == []
    else:
        assert not sender.send(job("b"))
    assert (resent, message.state) == (["a"], State.LOST)
    assert sender.published() == [], "the publisher notes it when it has sent it"
    assert connections[0].is_closed
    assert not sender.send(job("c"))
    sender.prepare()
    assert sender.send(job("d"))
    assert connections[1].sent == ["d"]


def test_a_message_lost_before_the_commit_is_sent_another_way_once_its_job_is_committed(
    sender: EarlySender, connections: list[Connection], resent: list[str]
) -> None:
    message = send(sender, "a")
    connections[0].answers.append(OutOfMemoryError("full"))
    assert sender.published() == []
    assert (resent, message.state) == ([], State.LOST)
    sender.confirm(message)
    assert resent == ["a"]
    assert sender.published() == []


def test_an_answer_has_its_time_and_one_that_is_later_is_none(
    sender: EarlySender, connections: list[Connection], resent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = send_and_commit(sender, "a")
    assert sender.published() == []
    assert (resent, connections[0].is_closed, message.state) == ([], False, State.COMMITTED)
    late = message.sent_at + Settings().broker.timeout.total_seconds()
    monkeypatch.setattr(early_sender, "monotonic", lambda: late)
    assert sender.published() == []
    assert (resent, connections[0].is_closed, message.state) == (["a"], True, State.LOST)


def test_a_connection_that_was_cut_while_it_was_idle_is_not_written_to(
    sender: EarlySender, connections: list[Connection]
) -> None:
    connections[0].answers.append(RedisConnectionError("end of file"))
    assert not sender.send(job("a"))
    assert (connections[0].sent, connections[0].is_closed) == ([], True)


def test_a_connection_that_was_cut_behind_an_answer_is_not_written_to(
    sender: EarlySender, connections: list[Connection], resent: list[str]
) -> None:
    message = send_and_commit(sender, "a")
    connections[0].answers += [1, RedisConnectionError("end of file")]
    assert not sender.send(job("b"))
    assert (connections[0].sent, resent, message.state) == (["a"], [], State.PUBLISHED)
    assert sender.published() == ["a"]


def test_a_message_that_cannot_be_sent_is_left_to_the_publisher(
    sender: EarlySender, connections: list[Connection], resent: list[str]
) -> None:
    connections[0].fault = OSError("broken pipe")
    assert not sender.send(job("a"))
    assert (resent, connections[0].is_closed) == ([], True)


@pytest.mark.parametrize("reason", [AttemptStopped("the worker is stopping"), SoftLimitReached(1.0)])
def test_an_interruption_in_the_middle_of_a_message_leaves_no_half_of_it_on_the_connection(
    sender: EarlySender, connections: list[Connection], resent: list[str], reason: BaseException
) -> None:
    send_and_commit(sender, "before")
    connections[0].answers.append(1)
    connections[0].fault = reason
    with pytest.raises(type(reason)):
        sender.send(job("a"))
    assert not sender.send(job("b"))
    sender.prepare()
    assert sender.send(job("c"))
    assert (connections[1].sent, resent) == (["c"], [])


def test_an_interruption_while_an_answer_is_outstanding_costs_its_job_a_second_message(
    sender: EarlySender, connections: list[Connection], resent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_commit(sender, "before")
    with monkeypatch.context() as patch:
        patch.setattr(connections[0], "has_data", interrupted)
        with pytest.raises(AttemptStopped):
            sender.send(job("a"))
    assert not sender.send(job("b"))
    sender.prepare()
    assert resent == ["before"]
    assert sender.send(job("c"))


def interrupted() -> NoReturn:
    raise AttemptStopped("the worker is stopping")


def test_the_processor_is_yielded_after_a_message_and_not_where_none_was_sent(
    sender: EarlySender, connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_by_then: list[list[str]] = []
    monkeypatch.setattr(os, "sched_yield", lambda: sent_by_then.append(list(connections[0].sent)))
    send_and_commit(sender, "first")
    assert sender.send(job("while the first has no answer")) is None
    assert sent_by_then == [["first"]]

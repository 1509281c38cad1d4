"""What becomes of a message whose answer is late, no good, or never came; test_ringing.py has a server."""

import os
from typing import Any, NoReturn

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from jobyard.broker.redis import early_sender as redis_bell
from jobyard.broker.redis.early_sender import Kind, RedisBell, Rung
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.worker.execution.interruptions import AttemptStopped, SoftLimitReached


class Wire:
    """In the place of a connection: `answers` are what can be read from it."""

    def __init__(self) -> None:
        self.lines: set[Kind] = set()
        self.sent: list[str] = []
        self.answers: list[Exception | int] = []
        self.fault: BaseException | None = None
        self.is_closed = False

    def learn(self, kind: Kind) -> None:
        self.lines.add(kind)

    def send(self, job: QueuedJob) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append(job.id)

    def has_something_to_read(self) -> bool:
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
def wires(monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    opened: list[Wire] = []

    def open_one(_: str) -> Any:
        opened.append(Wire())
        return opened[-1]

    monkeypatch.setattr(redis_bell, "_Wire", open_one)
    return opened


@pytest.fixture
def again() -> list[str]:
    """The jobs that are to be sent another way."""
    return []


@pytest.fixture
def bell(wires: list[Wire], again: list[str]) -> RedisBell:
    bell = RedisBell(Settings(), not_taken=lambda job: again.append(job.id))
    assert not bell.ring(job("before it is open"))
    bell.prepare()
    assert len(wires) == 1
    return bell


def ring(bell: RedisBell, name: str) -> Rung:
    """Ring for a job that is committed then."""
    rung = bell.ring(job(name))
    assert rung is not None
    rung.is_committed = True
    return rung


def test_nothing_is_opened_that_nobody_wanted(wires: list[Wire]) -> None:
    RedisBell(Settings(), not_taken=lambda job: None).prepare()
    assert wires == []


def test_what_celery_says_of_another_kind_is_learned_over_the_same_wire_and_not_by_who_rings(
    bell: RedisBell, wires: list[Wire]
) -> None:
    another = QueuedJob("a", "another", "default", 4)
    assert bell.ring(another) is None
    bell.prepare()
    assert bell.ring(another)
    assert len(wires) == 1


def test_where_nothing_can_be_opened_nobody_tries_with_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(url: str) -> Any:
        tried.append(url)
        raise RedisConnectionError("max number of clients reached")

    monkeypatch.setattr(redis_bell, "_Wire", refuse)
    bell = RedisBell(Settings(), not_taken=lambda job: None)
    for _ in range(3):
        assert bell.ring(job("a")) is None
        bell.prepare()
    assert len(tried) == 1


def test_it_rings_once_and_again_when_that_was_answered(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    [wire] = wires
    first = ring(bell, "a")
    assert not bell.ring(job("b")), "one answer is outstanding"
    assert first.is_taken is None
    wire.answers.append(1)
    second = ring(bell, "c")
    assert first.is_taken is True
    wire.answers.append(2)
    bell.listen()
    bell.listen()
    assert second.is_taken is True
    assert ring(bell, "d").is_taken is None
    assert (wire.sent, again) == (["a", "c", "d"], [])


@pytest.mark.parametrize("answer", [OutOfMemoryError("full"), RedisConnectionError("gone"), OSError("reset")])
@pytest.mark.parametrize("notices", ["who rings next", "the publisher"])
def test_a_message_that_was_not_taken_is_sent_another_way(
    bell: RedisBell, wires: list[Wire], again: list[str], answer: Exception, notices: str
) -> None:
    rung = ring(bell, "a")
    wires[0].answers.append(answer)
    if notices == "the publisher":
        bell.listen()
    else:
        assert not bell.ring(job("b"))
    assert (again, rung.is_taken) == (["a"], False)
    assert wires[0].is_closed
    assert not bell.ring(job("c"))
    bell.prepare()
    assert bell.ring(job("d"))
    assert wires[1].sent == ["d"]


def test_of_a_message_that_was_not_taken_its_job_is_for_who_commits_it(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    rung = bell.ring(job("a"))
    wires[0].answers.append(OutOfMemoryError("full"))
    bell.listen()
    assert rung is not None
    assert (again, rung.is_taken) == ([], False)


def test_an_answer_has_its_time_and_one_that_is_later_is_none(
    bell: RedisBell, wires: list[Wire], again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = ring(bell, "a")
    bell.listen()
    assert (again, wires[0].is_closed, rung.is_taken) == ([], False, None)
    late = rung.sent_at + Settings().broker.timeout.total_seconds()
    monkeypatch.setattr(redis_bell, "monotonic", lambda: late)
    bell.listen()
    assert (again, wires[0].is_closed, rung.is_taken) == (["a"], True, False)


def test_a_line_that_was_cut_while_nobody_rang_is_not_spoken_over(bell: RedisBell, wires: list[Wire]) -> None:
    wires[0].answers.append(RedisConnectionError("end of file"))
    assert not bell.ring(job("a"))
    assert (wires[0].sent, wires[0].is_closed) == ([], True)


def test_a_line_that_was_cut_behind_an_answer_is_not_spoken_over(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    rung = ring(bell, "a")
    wires[0].answers += [1, RedisConnectionError("end of file")]
    assert not bell.ring(job("b"))
    assert (wires[0].sent, again, rung.is_taken) == (["a"], [], True)


def test_a_message_that_cannot_be_sent_is_the_publishers(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    wires[0].fault = OSError("broken pipe")
    assert not bell.ring(job("a"))
    assert (again, wires[0].is_closed) == ([], True)


@pytest.mark.parametrize("reason", [AttemptStopped("the worker is stopping"), SoftLimitReached(1.0)])
def test_who_is_interrupted_in_the_middle_of_a_message_leaves_no_half_of_one_to_others(
    bell: RedisBell, wires: list[Wire], again: list[str], reason: BaseException
) -> None:
    ring(bell, "before")
    wires[0].answers.append(1)
    wires[0].fault = reason
    with pytest.raises(type(reason)):
        bell.ring(job("a"))
    assert not bell.ring(job("b"))
    bell.prepare()
    assert bell.ring(job("c"))
    assert (wires[1].sent, again) == (["c"], [])


def test_who_is_interrupted_while_an_answer_is_outstanding_costs_its_job_a_message(
    bell: RedisBell, wires: list[Wire], again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ring(bell, "before")
    with monkeypatch.context() as patch:
        patch.setattr(wires[0], "has_something_to_read", interrupted)
        with pytest.raises(AttemptStopped):
            bell.ring(job("a"))
    assert not bell.ring(job("b"))
    bell.prepare()
    assert again == ["before"]
    assert bell.ring(job("c"))


def interrupted() -> NoReturn:
    raise AttemptStopped("the worker is stopping")


def test_who_has_rung_lets_redis_onto_the_processor_and_who_could_not_ring_does_not(
    bell: RedisBell, wires: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_by_then: list[list[str]] = []
    monkeypatch.setattr(os, "sched_yield", lambda: sent_by_then.append(list(wires[0].sent)))
    ring(bell, "first")
    assert bell.ring(job("while nobody has answered")) is None
    assert sent_by_then == [["first"]]

"""What becomes of a message whose answer is late, no good, or never came; test_ringing.py has a server."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from config.settings import Settings
from jobs.job import QueuedJob
from tasks import redis_bell
from tasks.interruptions import AttemptStopped
from tasks.redis_bell import RedisBell


class Wire:
    """In the place of a connection: `answers` are what can be read from it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answers: list[Exception | int] = []
        self.fault: BaseException | None = None
        self.is_closed = False

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
    bell.open()
    assert len(wires) == 1
    return bell


def test_nothing_is_opened_that_nobody_wanted(wires: list[Wire]) -> None:
    RedisBell(Settings(), not_taken=lambda job: None).open()
    assert wires == []


def test_it_rings_once_and_again_when_that_was_answered(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    [wire] = wires
    assert bell.ring(job("a"))
    assert not bell.ring(job("b")), "one answer is outstanding"
    wire.answers.append(1)
    assert bell.ring(job("c"))
    wire.answers.append(2)
    bell.listen()
    bell.listen()
    assert bell.ring(job("d"))
    assert (wire.sent, again) == (["a", "c", "d"], [])


@pytest.mark.parametrize("answer", [OutOfMemoryError("full"), RedisConnectionError("gone"), OSError("reset")])
@pytest.mark.parametrize("notices", ["who rings next", "the publisher"])
def test_a_message_that_was_not_taken_is_sent_another_way(
    bell: RedisBell, wires: list[Wire], again: list[str], answer: Exception, notices: str
) -> None:
    assert bell.ring(job("a"))
    wires[0].answers.append(answer)
    if notices == "the publisher":
        bell.listen()
    else:
        assert not bell.ring(job("b"))
    assert again == ["a"]
    assert wires[0].is_closed
    assert not bell.ring(job("c"))
    bell.open()
    assert bell.ring(job("d"))
    assert wires[1].sent == ["d"]


def test_an_answer_that_is_late_is_none(bell: RedisBell, wires: list[Wire], again: list[str]) -> None:
    assert bell.ring(job("a"))
    bell.listen()
    assert (again, wires[0].is_closed) == (["a"], True)


def test_a_line_that_was_cut_while_nobody_rang_is_not_spoken_over(bell: RedisBell, wires: list[Wire]) -> None:
    wires[0].answers.append(RedisConnectionError("end of file"))
    assert not bell.ring(job("a"))
    assert (wires[0].sent, wires[0].is_closed) == ([], True)


def test_a_message_that_cannot_be_sent_is_the_publishers(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    wires[0].fault = OSError("broken pipe")
    assert not bell.ring(job("a"))
    assert (again, wires[0].is_closed) == ([], True)


def test_who_is_interrupted_in_the_middle_of_a_message_leaves_no_half_of_one_to_others(
    bell: RedisBell, wires: list[Wire], again: list[str]
) -> None:
    wires[0].fault = AttemptStopped("the worker is stopping")
    with pytest.raises(AttemptStopped):
        bell.ring(job("a"))
    assert not bell.ring(job("b"))
    bell.open()
    assert bell.ring(job("c"))
    assert (wires[1].sent, again) == (["c"], [])

"""Tasks whose payload says how they are to end, so that a failure test is one line."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Literal

from celery.exceptions import Reject
from pydantic import field_validator

from jobyard.jobs.errors import Discard, RetryLater
from jobyard.tasks.context import current_job
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload


class Deed(Payload):
    """What to do, and the file that remembers that it was done."""

    then: Literal[
        "return",
        "raise",
        "fail",
        "fail_once",
        "later",
        "later_for_free",
        "discard",
        "exit",
        "memory",
        "sleep",
        "block",
        "kill",
        "kill_worker",
        "allocate",
        "raise_odd",
        "exit_at_once",
        "close_output",
        "wait_for_another",
        "hand_in",
        "fork",
        "pool",
    ] = "return"
    seconds: float = 0
    journal: str | None = None
    text: str = ""
    number: int = 0
    odd: Literal[
        "", "half_a_character", "nul", "wordless", "long_name", "base", "interrupt", "reject", "group", "deep"
    ] = ""


class Done(Payload):
    said: str


class TemporaryError(Exception):
    """A failure that another attempt may not meet."""


class WordlessError(Exception):
    """An exception that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class NoException(BaseException):
    """What `except Exception` does not see."""


def odd_error(kind: str) -> BaseException:
    """Return something that a task may raise and that is hard to write down."""
    odd: dict[str, BaseException] = {
        "half_a_character": ValueError("\udc80 is half a character"),
        "nul": ValueError("a\x00b"),
        "wordless": WordlessError(),
        "long_name": type("L" * 5000, (Exception,), {})("long"),
        "base": NoException("base"),
        "interrupt": KeyboardInterrupt(),
        "reject": Reject("rejected", requeue=True),
        "group": ExceptionGroup("several", [ValueError(str(number)) for number in range(2000)]),
        "deep": RecursionError("deep"),
    }
    return odd[kind]


@task(
    "bad.deed",
    autoretry_for=(TemporaryError,),
    max_retries=2,
    retry_backoff=1,
    retry_jitter=False,
    aliases=("bad.old",),
)
def deed(order: Deed) -> Done:
    """Do as told, and write `job_id:attempt` into the journal."""
    job = current_job()
    if order.journal:
        with Path(order.journal).open("a") as journal:
            journal.write(f"{job.job_id}:{job.attempt}\n")
    match order.then:
        case "raise":
            raise ValueError("as ordered")
        case "fail":
            raise TemporaryError("again")
        case "fail_once" if job.attempt == 1:
            raise TemporaryError("once")
        case "later":
            raise RetryLater(timedelta(seconds=order.seconds), "not yet")
        case "later_for_free" if job.attempt < 6:
            raise RetryLater(timedelta(seconds=order.seconds), "not yet", counts=False)
        case "discard":
            raise Discard("never")
        case "exit":
            sys.exit(3)
        case "memory":
            raise MemoryError
        case "sleep":
            _compute(order.seconds)
        case "block":
            time.sleep(order.seconds)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill_worker":
            os.killpg(0, signal.SIGKILL)
        case "exit_at_once":
            os._exit(5)
        case "close_output":
            sys.__stdout__.close()  # type: ignore[union-attr]
            sys.__stderr__.close()  # type: ignore[union-attr]
        case "wait_for_another":
            return deed.delay(Deed()).get()
        case "hand_in":
            return Done(said=deed.delay(Deed()).id)
        case "fork":
            return Done(said=str(_forked(order.text)))
        case "pool":
            with multiprocessing.get_context(order.text).Pool(2) as pool:
                return Done(said=f"{sum(pool.map(abs, range(-9, 0)))}")
        case "raise_odd":
            raise odd_error(order.odd)
        case "allocate":
            return Done(said=f"{len(bytearray(order.number))} bytes")
    return Done(said=order.text or f"attempt {job.attempt}")


@task("bad.only_once", max_losses=0)
def only_once(order: Deed) -> Done:
    """Do as told, and never begin a second time."""
    return deed(order)


@task("bad.limited", time_limit=1, soft_time_limit=0.5)
def limited(order: Deed) -> Done:
    """Do as told, in a second."""
    return deed(order)


def _forked(end: str) -> int:
    child = os.fork()
    if child == 0:
        match end:
            case "exit":
                sys.exit(7)
            case "raise":
                raise ValueError("in the child")
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _compute(seconds: float) -> None:
    # Waits in little pieces, so that it can be told to stop; and not by time.sleep, which libfaketime breaks.
    pause = threading.Event()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pause.wait(0.01)


@task("bad.async_deed", time_limit=1)
async def async_deed(order: Deed) -> Done:
    """Wait as long as told, on the event loop."""
    await asyncio.sleep(order.seconds)
    return Done(said="awaited")


@task("bad.result")
def result(order: Deed) -> Done:
    """Return more than a result may hold."""
    return Done(said="x" * order.number)


@task("bad.slow_cpu", time_limit=1)
def slow_cpu(order: Deed) -> Done:
    """Compute past the limit."""
    until = time.monotonic() + order.seconds
    while time.monotonic() < until:
        sum(range(1000))
    return Done(said="done after all")


class Unreadable(Payload):
    raises: Literal["KeyError", "RecursionError", "AssertionError", "nothing"]

    @field_validator("raises")
    @classmethod
    def _raise(cls, value: str) -> str:
        match value:
            case "KeyError":
                raise KeyError("a validator's own fault")
            case "RecursionError":
                raise RecursionError("a validator's own fault")
            case "AssertionError":  # pydantic takes it for the caller's fault
                raise AssertionError("must be something else")
        return value


@task("bad.validator")
def validator(order: Unreadable) -> None:
    """Have a payload whose validator fails."""

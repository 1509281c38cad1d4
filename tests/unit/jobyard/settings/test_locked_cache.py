"""A process has one of each object, even if threads ask for the first at the same time."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.broker.publisher import get_publisher
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.files.store import get_files
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.grouped_ledger import get_grouped_ledger
from jobyard.jobs.ledger.leases import get_leases
from jobyard.settings.locked_cache import locked_cache
from jobyard.worker.execution.run_time_recorder import get_run_time_recorder

THREADS = 8


def in_threads(function: Callable[[], object]) -> list[object]:
    """Return the results of calls that begin at the same time."""
    barrier = threading.Barrier(THREADS)

    def call(_: int) -> object:
        barrier.wait(5)
        return function()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, range(THREADS)))


def test_threads_that_ask_at_once_get_the_same_object() -> None:
    @locked_cache
    def make() -> object:
        sleep(0.01)
        return object()

    assert len(set(in_threads(make))) == 1


@pytest.mark.parametrize(
    "getter",
    [
        get_accept_and_publish,
        get_claim_checks,
        get_database,
        get_files,
        get_grouped_ledger,
        get_leases,
        get_ledger,
        get_publisher,
        get_run_time_recorder,
    ],
)
def test_what_a_process_has_one_of_is_made_under_a_lock(getter: Callable[[], object]) -> None:
    assert isinstance(getter, locked_cache)
    assert getter() is getter()


def test_arguments_tell_objects_apart() -> None:
    @locked_cache
    def make(name: str, number: int = 0) -> list[object]:
        return [name, number]

    assert make("a") is make("a")
    assert make("a") is not make("b")
    assert make("a", number=2) == ["a", 2]
    assert make("a", number=3) == ["a", 3]


def test_an_error_is_not_kept() -> None:
    answers = iter([ZeroDivisionError(), None])

    @locked_cache
    def make() -> str:
        if error := next(answers):
            raise error
        return "made"

    with pytest.raises(ZeroDivisionError):
        make()
    assert make() == "made"


def test_what_was_cleared_is_made_again() -> None:
    make = locked_cache(object)
    first = make()
    make.cache_clear()
    assert make() is not first


def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    began, may_end = threading.Event(), threading.Event()

    @locked_cache
    def make() -> str:
        began.set()
        may_end.wait(10)
        return "made"

    thread = threading.Thread(target=make)
    thread.start()
    began.wait(5)
    if not (child := os.fork()):
        may_end.set()
        os._exit(0 if make() == "made" else 1)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        may_end.set()
        thread.join()

"""Threads of one process take turns at writing to SQLite."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobyard.jobs.job import NewJob, Verdict, new_id
from jobyard.jobs.ledger import Ledger

only_sqlite = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)


def new() -> NewJob:
    return NewJob(new_id(), "any", "{}", 3)


@only_sqlite
def test_who_waits_is_next_when_the_other_has_written(own_ledger: Ledger) -> None:
    has_begun, go_on = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with own_ledger.database.writing():
            has_begun.set()
            go_on.wait(10)

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(write_slowly)
        assert has_begun.wait(10)
        waiting = threads.submit(own_ledger.accept, [new()])
        assert not waiting.done()
        go_on.set()
        assert waiting.result(10)[0].verdict is Verdict.NEW
        slow.result(10)


def test_who_fails_gives_the_turn_back(own_ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), own_ledger.database.writing():
        _ = 1 / 0
    assert own_ledger.accept([new()])[0].verdict is Verdict.NEW


@pytest.mark.postgresql
def test_on_postgresql_nobody_waits_for_a_turn(postgresql_ledger: Ledger) -> None:
    with postgresql_ledger.database.writing(), ThreadPoolExecutor(1) as threads:
        [accepted] = threads.submit(postgresql_ledger.accept, [new()]).result(10)
    assert accepted.verdict is Verdict.NEW

"""Who holds SQLite's write lock is named to those who waited for it, and nothing else runs meanwhile."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from jobyard.jobs.database.engines import Durability
from jobyard.jobs.database.kernel_locks import LOCKS
from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.files.claim_checks import ClaimChecks
from jobyard.jobs.job import Cause, Failed, Failure, NewJob, Status, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.settings import Settings
from jobyard.settings.sections import LedgerSettings
from tests.support.waiting import wait_until

only_linux = pytest.mark.skipif(not LOCKS.exists(), reason="only Linux says who holds a lock")
only_sqlite = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
HOLD = """
import sqlite3, sys, time
from sqlalchemy import make_url
from jobyard.jobs.database.registered_processes import register_process
if "as a server" in sys.argv:
    register_process(make_url(f"sqlite:///{sys.argv[1]}"))
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("BEGIN IMMEDIATE")
print("holding", flush=True)
while "busy" in sys.argv:
    pass
time.sleep(60)
"""


def new() -> NewJob:
    return NewJob(new_id(), task="bad.deed", payload="{}", max_attempts=1)


@contextmanager
def another_process_writing(file: Path, *arguments: str) -> Iterator[int]:
    command = [sys.executable, "-c", HOLD, str(file), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process.pid
        process.kill()


@contextmanager
def impatient(home: Path) -> Iterator[Ledger]:
    """A second program with the ledger of `own_ledger`, which waits for a moment only."""
    settings = Settings(home=home, ledger=LedgerSettings(busy_timeout=timedelta(milliseconds=200)))
    database = open_database(settings)
    yield Ledger(database, settings)
    database.close()


def stop(process_id: int) -> None:
    os.kill(process_id, signal.SIGSTOP)
    status = Path(f"/proc/{process_id}/status")
    wait_until(lambda: "T (stopped)" in status.read_text(), 10, "the process to stop")


@only_linux
@only_sqlite
def test_a_server_that_is_stopped_with_the_write_lock_is_ended(own_ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "jobyard.db"
    with impatient(tmp_path) as ledger, another_process_writing(file, "as a server") as process_id:
        stop(process_id)
        ended = rf"process {process_id} \(.*\) was stopped with the write lock, and was ended"
        with pytest.raises(LedgerUnavailableError, match=ended):
            ledger.accept([new()])
        wait_until(lambda: ledger.accept([new()]), 10, "the lock to be free")


@only_linux
@only_sqlite
def test_a_server_that_computes_while_it_holds_the_lock_lives_on(own_ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "jobyard.db"
    with impatient(tmp_path) as ledger, another_process_writing(file, "as a server", "busy") as process_id:
        with pytest.raises(LedgerUnavailableError, match=rf"process {process_id} .*: if it hangs"):
            ledger.accept([new()])
        os.kill(process_id, 0)


@only_linux
@only_sqlite
def test_the_process_that_keeps_the_write_lock_is_named(own_ledger: Ledger, tmp_path: Path) -> None:
    own_ledger.accept([new()])
    with impatient(tmp_path) as ledger, another_process_writing(tmp_path / "jobyard.db") as process_id:
        held = rf"locked; process {process_id} \(.*\) holds the write lock"
        with pytest.raises(LedgerUnavailableError, match=f"{held}: if it hangs"):
            ledger.accept([new()])
        stop(process_id)
        with pytest.raises(
            LedgerUnavailableError, match=rf"{held}, and is stopped: `kill -CONT {process_id}`"
        ):
            ledger.accept([new()])
    assert own_ledger.accept([new()]), "its end has freed the lock"


@only_sqlite
def test_a_job_is_accepted_and_recorded_as_succeeded_by_one_call_each(own_ledger: Ledger) -> None:
    seen: list[str] = []

    def trace(connection: Any, _record: Any) -> None:
        connection.set_trace_callback(seen.append)

    event.listen(own_ledger.database.engines.statements[Durability.FULL], "connect", trace)
    own_ledger.accept([new()])
    [accepted, _] = own_ledger.accept([new(), new()])
    [claimed] = own_ledger.claim([accepted.job_id], "any")
    outcome = Succeeded(claimed.id, claimed.attempt, "1")
    assert own_ledger.settle([outcome]) == [outcome]
    assert own_ledger.settle([outcome]) == [], "only once"
    changes = [line.split()[0] for line in seen if not line.startswith("PRAGMA")]
    assert changes[:3] == ["INSERT", "INSERT", "UPDATE"]


@only_sqlite
def test_no_lock_is_held_while_a_new_payload_goes_to_the_file_store(
    own_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [accepted] = own_ledger.accept([new()])
    [claimed] = own_ledger.claim([accepted.job_id], "any")
    failure = Failure(Cause.EXCEPTION, "ValueError", "no")
    own_ledger.settle([Failed(claimed.id, claimed.attempt, failure, retry_in=None)])
    with impatient(tmp_path) as other:

        def check_in(_checks: ClaimChecks, _job_id: str, _name: str, text: str) -> str:
            assert other.accept([new()]), "others may write meanwhile"
            return text

        monkeypatch.setattr(ClaimChecks, "check_in", check_in)
        own_ledger.replay(claimed.id, '{"text":"mended"}')
    replayed = get_job(own_ledger.database, claimed.id)
    assert (replayed.status, replayed.payload) == (Status.QUEUED, '{"text":"mended"}')

"""A server that is stopped with SQLite's write lock is ended by who waits for it (row 35 of the matrix)."""

import os
import signal
import sys

import httpx
import psutil
import pytest

from jobyard.jobs.database.kernel_locks import LOCKS
from jobyard.jobs.database.registered_processes import is_registered
from tests.support.own_yard import OwnYard
from tests.support.processes import answers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not LOCKS.exists(), reason="only Linux says who holds a lock")

# A server of the yard that is in the middle of a write.
WRITE = """
from time import sleep
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.registered_processes import register_process
register_process(get_database().url)
with get_database().writing():
    print("writing", flush=True)
    sleep(600)
"""


def test_row_35_a_server_stopped_in_a_write_is_ended_and_others_write_on(own: OwnYard) -> None:
    own.settings["JOBYARD_LEDGER__BUSY_TIMEOUT"] = "2"
    own.ledger.database.close()
    own.start_api()
    writer = own.start_command("writer", sys.executable, "-c", WRITE)
    wait_until(lambda: "writing" in writer.output(), 30, "the writer to write")
    os.kill(writer.process.pid, signal.SIGSTOP)
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    refused = httpx.post(url, json={"then": "return"}, timeout=30)
    assert refused.status_code == 503
    assert f"process {writer.process.pid} " in refused.json()["detail"]
    assert "was ended" in refused.json()["detail"]
    assert writer.process.wait(10) == -signal.SIGKILL
    assert httpx.post(url, json={"then": "return"}, timeout=30).status_code == 202


def test_every_server_of_a_yard_can_be_told_from_other_programs(own: OwnYard) -> None:
    path = str(own.home / "jobyard.db")
    assert own.ledger
    api = own.start_api()
    worker = own.start_worker(pool="prefork")
    wait_until(lambda: answers(own.port("API")), 30, "the API to answer")
    children = psutil.Process(worker.process.pid).children
    wait_until(lambda: len(children()) > 0, 30, "the worker to fork")
    servers = {api.process.pid, worker.process.pid, *(child.pid for child in children())}
    wait_until(lambda: all(is_registered(path, server) for server in servers), 20, "all to register")
    assert not is_registered(path, os.getpid()), "a program that only opens the ledger"

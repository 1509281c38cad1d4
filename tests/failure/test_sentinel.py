"""A fail-over of Redis Sentinel under load: the master is killed, or freezes and comes back as a replica."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from jobyard.jobs.job import Status
from tests.support.own_yard import OwnYard
from tests.support.processes import Program
from tests.support.sentinels import Group, start_group
from tests.support.ticking import is_leading, make_due, start_beat, ticks

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def group(own: OwnYard) -> Group:
    """What the yard uses instead of the embedded Valkey, for everything."""
    own.broker.kill()
    group = start_group(own)
    own.settings["JOBYARD_BROKER__URL"] = group.url
    return group


@contextmanager
def posting(own: OwnYard) -> Iterator[list[str]]:
    """Hand in jobs one after the other all the while, and each is answered within a second."""
    accepted: list[str] = []
    wrong: list[str] = []
    done = threading.Event()
    order = {"then": "sleep", "seconds": 0.05, "journal": str(own.journal)}

    def post() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{own.port('API')}", timeout=1.0) as client:
            while not done.wait(0.05):
                try:
                    answer = client.post("/v1/tasks/bad.deed/jobs", json=order)
                    (accepted if answer.status_code == 202 else wrong).append(answer.json().get("id", ""))
                except httpx.HTTPError as error:
                    wrong.append(repr(error))

    thread = threading.Thread(target=post)
    thread.start()
    try:
        yield accepted
    finally:
        done.set()
        thread.join()
    assert wrong == []


def start_everything(own: OwnYard) -> tuple[Program, Program]:
    beat = start_beat(own)
    worker = own.start_worker()
    own.start_api()
    own.wait_until(lambda: is_leading(beat), 30, "beat to lead")
    return worker, beat


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_fail_over_under_load_loses_no_job(own: OwnYard, group: Group, fault: signal.Signals) -> None:
    worker, beat = start_everything(own)
    former = group.master
    with posting(own) as job_ids:
        own.wait_until(lambda: len(own.runs()) > 20, 30, "the work to begin")
        for server in (former, group.sentinels[0]):  # as where they share a machine
            server.program.kill(fault)
        own.wait_until(lambda: group.has_master_other_than(former), 30, "another master")
        before, ticked = len(own.runs()), len(ticks(own))
        make_due(group.url)
        if fault is signal.SIGSTOP:
            for server in (former, group.sentinels[0]):
                server.program.kill(signal.SIGCONT)
            own.wait_until(lambda: former.client.role()[0] == "slave", 30, "the former to follow the new one")
        own.wait_until(lambda: len(own.runs()) > before + 20, 60, "the work to go on")
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    own.check_invariant(job_ids)
    assert worker.process.poll() is None
    own.wait_until(lambda: len(ticks(own)) > ticked, 30, "a tick by the schedules on the new master")
    assert beat.process.poll() is None

"""The process beside the API under load: killed, frozen, orphaned, or told to end with its server."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from jobyard.jobs.job import Status
from tests.support.own_yard import OwnYard
from tests.support.processes import Program, lives

pytestmark = pytest.mark.timeout(180)

CALLERS = 32
QUICK_LEDGER = {"JOBYARD_LEDGER__BUSY_TIMEOUT": "1", "JOBYARD_LEDGER__TIMEOUT": "1"}


class Callers:
    """Many who hand in jobs at once, until they are told to stop; each expects a 202 every time."""

    def __init__(self, own: OwnYard) -> None:
        self._url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
        self._order = {"then": "return", "journal": str(own.journal)}
        self._pool = ThreadPoolExecutor(CALLERS)
        self.accepted: list[str] = []
        self._is_over = False
        self._calls = [self._pool.submit(self._call) for _ in range(CALLERS)]

    def _call(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._is_over:
                answer = client.post(self._url, json=self._order)
                assert answer.status_code == 202, answer.text
                self.accepted.append(answer.json()["id"])

    def stop(self) -> list[str]:
        """Return every job that was answered with 202; raises what a caller met."""
        self._is_over = True
        for call in self._calls:
            call.result(60)
        self._pool.shutdown()
        return self.accepted


def beside(api: Program) -> list[psutil.Process]:
    return [process for process in psutil.Process(api.process.pid).children() if lives(process)]


def under_load(own: OwnYard, api: Program) -> tuple[Callers, psutil.Process]:
    """Return callers, and the process that commits what they hand in."""
    callers = Callers(own)
    own.wait_until(lambda: "beside the server" in api.output(), 60, "a process beside the server")
    seen = len(callers.accepted)
    own.wait_until(lambda: len(callers.accepted) > seen + 200, 30, "load")
    [process] = beside(api)
    return callers, process


def test_the_process_that_commits_is_killed_and_every_caller_is_answered(on_either: OwnYard) -> None:
    own = on_either
    own.settings |= QUICK_LEDGER
    api, _ = own.start_api(), own.start_worker()
    callers, process = under_load(own, api)
    process.kill()
    seen = len(callers.accepted)
    own.wait_until(lambda: "was lost" in api.output(), 20, "the server to notice")
    own.wait_until(lambda: len(callers.accepted) > seen + 200, 30, "the callers to go on")
    own.wait_until(lambda: [one for one in beside(api) if one.pid != process.pid], 30, "another process")
    accepted = callers.stop()
    assert len(set(accepted)) == len(accepted)
    assert {job_id for job_id, _ in own.everything()} <= set(accepted)
    own.wait_for(accepted, Status.SUCCEEDED, 120)
    own.check_invariant(accepted)


def test_one_that_is_frozen_holds_callers_up_for_seconds_only(own: OwnYard) -> None:
    api = own.start_api()
    callers, process = under_load(own, api)
    process.suspend()
    own.wait_until(lambda: "no sign of life for 3 s" in api.output(), 20, "the server to give it up")
    seen = len(callers.accepted)
    own.wait_until(lambda: len(callers.accepted) > seen + 200, 30, "the callers to go on")
    accepted = callers.stop()
    assert not lives(process)
    assert len(own.jobs(accepted)) == len(set(accepted)) == len(accepted)


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_it_goes_with_its_server_and_leaves_nothing_unsent(own: OwnYard, with_signal: signal.Signals) -> None:
    own.settings |= {"JOBYARD_KEEPER__UNSENT_AFTER": "60"}
    api = own.start_api()
    callers, process = under_load(own, api)
    accepted = callers.stop()
    os.killpg(api.process.pid, with_signal)  # to both, as a Ctrl-C in a terminal does
    own.wait_until(lambda: api.process.poll() is not None, 20, "the server to end")
    assert not lives(process)
    assert set(accepted) <= set(own.sent())


def test_it_does_not_outlive_a_server_that_is_killed(own: OwnYard) -> None:
    api = own.start_api()
    callers, process = under_load(own, api)
    callers.stop()
    os.kill(api.process.pid, signal.SIGKILL)
    own.wait_until(lambda: not lives(process), 20, "the orphan to end")

"""The process beside the server: what it commits, and that its end loses and doubles nothing."""

import os
import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from api.committer import LARGE_GROUP, Committer
from config.sections import ApiSettings, LedgerSettings
from config.settings import Settings
from jobs.crash_points import CrashPoint
from jobs.errors import LedgerUnavailableError
from jobs.job import Acceptance, NewJob, Verdict
from jobs.ledger import Ledger
from jobs.search import JobFilter, count_jobs
from tests.support.waiting import wait_until

PATIENCE = LedgerSettings(busy_timeout=timedelta(seconds=1), timeout=timedelta(seconds=1))


class OwnLedger(Ledger):
    """The server's own hand: remembers the groups that it has committed itself."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.engine, ledger._settings)
        self.groups: list[int] = []

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        self.groups.append(len(new_jobs))
        return super().accept(new_jobs)


@pytest.fixture
def watched(own_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnLedger:
    """The ledger of the test, which is also that of the processes that the test starts."""
    url = own_ledger.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("JOBYARD_HOME", str(tmp_path))
    monkeypatch.setenv("JOBYARD_LEDGER__URL", url)
    return OwnLedger(own_ledger)


@pytest.fixture
def committer(watched: OwnLedger) -> Iterator[Committer]:
    committer = Committer(watched, Settings(ledger=PATIENCE))
    yield committer
    committer.close()


def group(how_many: int = LARGE_GROUP, **fields: Any) -> list[NewJob]:
    """Jobs of which none is due, so that nobody rings for them."""
    usual: dict[str, Any] = {"task": "bad.deed", "payload": "{}", "max_attempts": 3}
    return [NewJob(**usual | {"delay": timedelta(hours=1)} | fields) for _ in range(how_many)]


def with_a_process(committer: Committer) -> int:
    """Hand in large groups until one was committed beside; return how many jobs that took."""
    accepted = 0

    def is_ready() -> bool:
        nonlocal accepted
        accepted += len(committer.accept(group()))
        return committer._beside is not None and committer._beside.is_ready()

    wait_until(is_ready, 40, "the process beside the server")
    return accepted


def pid_of(committer: Committer) -> int:
    assert committer._beside is not None
    return committer._beside._process.pid


def accepted_once(new_jobs: Sequence[NewJob], acceptances: Sequence[Acceptance]) -> bool:
    return [(one.job_id, one.verdict) for one in acceptances] == [(new.id, Verdict.NEW) for new in new_jobs]


def test_large_groups_are_committed_beside_and_small_ones_here(
    committer: Committer, watched: OwnLedger
) -> None:
    accepted = with_a_process(committer)
    watched.groups.clear()
    large, small = group(200), group(LARGE_GROUP - 1)
    assert accepted_once(large, committer.accept(large))
    assert watched.groups == []
    assert accepted_once(small, committer.accept(small))
    assert watched.groups == [len(small)]
    assert count_jobs(watched.engine, JobFilter()).jobs == accepted + len(large) + len(small)


def test_until_it_is_there_and_where_it_is_not_wanted_the_server_commits(watched: OwnLedger) -> None:
    alone = Committer(watched, Settings(api=ApiSettings(committer=False)))
    assert len(alone.accept(group())) == LARGE_GROUP
    assert alone._beside is None
    starting = Committer(watched, Settings())
    assert len(starting.accept(group())) == LARGE_GROUP
    assert watched.groups == [LARGE_GROUP] * 2
    starting.close()


def test_keys_are_honoured_across_both(committer: Committer, watched: OwnLedger) -> None:
    with_a_process(committer)
    watched.groups.clear()
    [first] = committer.accept(group(1, idempotency_key="K", request_hash="one"))
    again = group(1, idempotency_key="K", request_hash="one") + group()
    other = group(1, idempotency_key="K", request_hash="two") + group()
    assert committer.accept(again)[0] == Acceptance(first.job_id, Verdict.REPEATED)
    assert committer.accept(other)[0] == Acceptance(first.job_id, Verdict.CONFLICT)
    assert watched.groups == [1]


@pytest.mark.parametrize("point", [CrashPoint.BEFORE_ACCEPT, CrashPoint.ACCEPTED])
def test_its_death_before_and_after_the_commit_loses_and_doubles_nothing(
    committer: Committer, watched: OwnLedger, point: CrashPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASH_AT", str(point.value))  # this process has read it long ago
    accepted = len(committer.accept(group()))
    dying = pid_of(committer)

    def has_died() -> bool:
        nonlocal accepted
        new_jobs = group()
        assert accepted_once(new_jobs, committer.accept(new_jobs))
        accepted += len(new_jobs)
        return committer._beside is None

    wait_until(has_died, 40, f"process {dying} to die")
    assert count_jobs(watched.engine, JobFilter()).jobs == accepted


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_is_killed_or_frozen_is_done_without_and_replaced(
    committer: Committer, watched: OwnLedger, with_signal: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_process(committer)
    lost = pid_of(committer)
    os.kill(lost, with_signal)
    watched.groups.clear()
    new_jobs = group()
    assert accepted_once(new_jobs, committer.accept(new_jobs))
    assert watched.groups == [len(new_jobs)]
    with pytest.raises(ProcessLookupError):
        os.kill(lost, 0)
    assert committer.accept(group())
    assert committer._beside is None  # another comes, but not at once
    monkeypatch.setattr("api.committer.START_AGAIN_AFTER_SECONDS", 0.0)
    committer._start_at = 0.0
    with_a_process(committer)
    assert pid_of(committer) != lost


def test_a_ledger_out_of_its_reach_is_said_in_its_words(
    watched: OwnLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBYARD_LEDGER__URL", f"sqlite:///{tmp_path}/nowhere/jobyard.db")
    committer = Committer(watched, Settings())

    def is_out_of_reach() -> bool:
        try:
            committer.accept(group())
        except LedgerUnavailableError:
            return True
        return False

    wait_until(is_out_of_reach, 40, "the process beside the server")
    with pytest.raises(LedgerUnavailableError, match="there is no ledger at"):
        committer.accept(group())
    committer.close()


def test_a_fault_is_met_where_it_can_be_told(committer: Committer, watched: OwnLedger) -> None:
    with_a_process(committer)
    watched.groups.clear()
    with pytest.raises(IntegrityError):
        committer.accept(group(task=None))
    assert watched.groups == [LARGE_GROUP]
    assert committer.accept(group())
    assert watched.groups == [LARGE_GROUP], "the process is still there"


def test_where_no_process_can_be_started_the_server_commits(
    watched: OwnLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer = Committer(watched, Settings())
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert len(committer.accept(group())) == LARGE_GROUP
    assert len(committer.accept(group())) == LARGE_GROUP
    assert watched.groups == [LARGE_GROUP] * 2

"""The process beside the server: what it commits, and that its end loses and doubles nothing."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy.exc import IntegrityError

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.http.commit.commit_process import LONGEST_SILENCE_SECONDS
from jobyard.http.commit.committer import LARGE_GROUP, Committer
from jobyard.jobs.clock import monotonic
from jobyard.jobs.crash_points import CrashPoint
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import count_jobs
from jobyard.settings import Settings
from jobyard.settings.sections import ApiSettings, LedgerSettings
from tests.support.waiting import wait_until

PATIENCE = LedgerSettings(busy_timeout=timedelta(seconds=1), timeout=timedelta(seconds=1))


class OwnLedger(Ledger):
    """The server's own hand: remembers the groups that it has committed itself."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.database, ledger._settings)
        self.groups: list[int] = []

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        self.groups.append(len(new_jobs))
        return super().accept(new_jobs)


@pytest.fixture
def watched(own_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnLedger:
    """The ledger of the test, which is also that of the processes that the test starts."""
    url = own_ledger.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("JOBYARD_HOME", str(tmp_path))
    monkeypatch.setenv("JOBYARD_LEDGER__URL", url)
    get_accept_and_publish()  # reads the settings once for this process, whatever a test does to them later
    return OwnLedger(own_ledger)


class Driven:
    """A committer on its own event loop, which runs only during the calls of this class."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._runner = asyncio.Runner()
        self.committer = Committer(ledger, settings)

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        return self._runner.run(self.committer.commit(new_jobs))

    def accept_both(self, *groups: Sequence[NewJob]) -> list[list[Acceptance]]:
        async def both() -> list[list[Acceptance]]:
            return await asyncio.gather(*map(self.committer.commit, groups))

        return self._runner.run(both())

    def accept_while(
        self, new_jobs: Sequence[NewJob], seconds: float, then: Callable[[], object]
    ) -> list[Acceptance]:
        """Hand in, and call `then` after some seconds."""

        async def both() -> list[Acceptance]:
            commit = asyncio.create_task(self.committer.commit(new_jobs))
            await asyncio.sleep(seconds)
            then()
            return await commit

        return self._runner.run(both())

    @property
    def pid(self) -> int | None:
        """The process beside, once it is there."""
        self._runner.run(asyncio.sleep(0.02))
        return self.committer._process.pid if self.committer._process is not None else None

    def close(self) -> None:
        self._runner.run(self.committer.close())
        self._runner.close()


@contextmanager
def driven(ledger: Ledger, settings: Settings) -> Iterator[Driven]:
    one = Driven(ledger, settings)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def committer(watched: OwnLedger) -> Iterator[Driven]:
    with driven(watched, Settings(ledger=PATIENCE)) as one:
        yield one


def group(how_many: int = LARGE_GROUP, **fields: Any) -> list[NewJob]:
    """Jobs of which none is due, so that none is published."""
    usual: dict[str, Any] = {"task": "bad.deed", "payload": "{}", "max_attempts": 3}
    usual["delay"] = timedelta(hours=1)
    return [NewJob(new_id(), **usual | fields) for _ in range(how_many)]


def with_a_process(committer: Driven) -> int:
    """Hand in a large group, and wait for the process that it asks for; return how many jobs that took."""
    accepted = len(committer.accept(group()))
    wait_until(lambda: committer.pid is not None, 40, "the process beside the server")
    return accepted


def accepted_once(new_jobs: Sequence[NewJob], acceptances: Sequence[Acceptance]) -> bool:
    return [(one.job_id, one.verdict) for one in acceptances] == [(new.id, Verdict.NEW) for new in new_jobs]


def test_the_first_large_group_starts_it_and_it_commits_whatever_comes_then(
    committer: Driven, watched: OwnLedger
) -> None:
    assert committer.accept(group(LARGE_GROUP - 1))
    assert committer.pid is None
    assert committer.committer.groups_at_once == 1
    accepted = LARGE_GROUP - 1 + with_a_process(committer)
    assert watched.groups == [LARGE_GROUP - 1, LARGE_GROUP]
    assert committer.committer.groups_at_once == 2
    for how_many in (200, LARGE_GROUP):
        new_jobs = group(how_many)
        assert accepted_once(new_jobs, committer.accept(new_jobs))
        accepted += how_many
    one, other = group(30), group(40)
    assert list(map(accepted_once, (one, other), committer.accept_both(one, other))) == [True, True]
    assert watched.groups == [LARGE_GROUP - 1, LARGE_GROUP]
    assert committer.accept(group(1))
    assert watched.groups == [LARGE_GROUP - 1, LARGE_GROUP, 1], "a small group is committed here"
    assert count_jobs(watched.database, JobFilter()).jobs == accepted + 71


def test_where_it_is_not_wanted_the_server_commits(watched: OwnLedger) -> None:
    with driven(watched, Settings(api=ApiSettings(committer=False))) as alone:
        assert len(alone.accept(group())) == LARGE_GROUP
        assert alone.committer._starting is None
        assert alone.pid is None


def test_a_server_that_ends_while_it_starts_takes_it_along(watched: OwnLedger) -> None:
    with driven(watched, Settings()) as starting:
        assert len(starting.accept(group())) == LARGE_GROUP
        assert starting.committer._starting is not None
    assert watched.groups == [LARGE_GROUP]


def test_keys_are_honoured_across_both(committer: Driven, watched: OwnLedger) -> None:
    [first] = committer.accept(group(1, idempotency_key="K", request_hash="one"))
    with_a_process(committer)
    [again, *_] = committer.accept(group(1, idempotency_key="K", request_hash="one") + group())
    [other, *_] = committer.accept(group(1, idempotency_key="K", request_hash="two") + group())
    assert again == Acceptance(first.job_id, Verdict.REPEATED)
    assert other == Acceptance(first.job_id, Verdict.CONFLICT)


@pytest.mark.parametrize("point", [CrashPoint.BEFORE_ACCEPT, CrashPoint.ACCEPTED])
def test_its_death_before_and_after_the_commit_loses_and_doubles_nothing(
    committer: Driven, watched: OwnLedger, point: CrashPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASH_AT", str(point.value))  # this process has read it long ago
    accepted = with_a_process(committer)
    one, other = group(30), group(40)
    assert list(map(accepted_once, (one, other), committer.accept_both(one, other))) == [True, True]
    assert sorted(watched.groups) == [LARGE_GROUP, 30, 40]
    assert committer.pid is None
    assert count_jobs(watched.database, JobFilter()).jobs == accepted + 70


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_is_killed_or_frozen_is_done_without_and_replaced(
    committer: Driven, watched: OwnLedger, with_signal: signal.Signals
) -> None:
    with_a_process(committer)
    lost = committer.pid
    assert lost is not None
    committer.committer._starts_from = monotonic() + 60
    os.kill(lost, with_signal)
    new_jobs = group()
    assert accepted_once(new_jobs, committer.accept(new_jobs))
    assert watched.groups == [LARGE_GROUP] * 2
    with pytest.raises(ProcessLookupError):
        os.kill(lost, 0)
    assert committer.accept(group())
    assert committer.committer._starting is None, "another comes, but not at once"
    committer.committer._starts_from = 0.0
    with_a_process(committer)
    assert committer.pid != lost


@pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)
def test_one_that_waits_for_the_ledger_shows_that_it_lives(
    committer: Driven, watched: OwnLedger, tmp_path: Path
) -> None:
    with_a_process(committer)
    new_jobs = group()
    with closing(sqlite3.connect(tmp_path / "jobyard.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        both = committer.accept_while(new_jobs, LONGEST_SILENCE_SECONDS + 1, lambda: writer.execute("COMMIT"))
    assert accepted_once(new_jobs, both)
    assert watched.groups == [LARGE_GROUP], "the process has committed it"


def test_a_ledger_out_of_its_reach_is_said_in_its_words(
    watched: OwnLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBYARD_LEDGER__URL", f"sqlite:///{tmp_path}/nowhere/jobyard.db")
    with driven(watched, Settings()) as committer:
        with_a_process(committer)
        with pytest.raises(LedgerUnavailableError, match="there is no ledger at"):
            committer.accept(group())


def test_a_fault_is_met_where_it_can_be_told(committer: Driven, watched: OwnLedger) -> None:
    with_a_process(committer)
    with pytest.raises(IntegrityError):
        committer.accept(group(task=None))
    assert watched.groups == [LARGE_GROUP] * 2
    assert committer.accept(group())
    assert watched.groups == [LARGE_GROUP] * 2, "the process is still there"


def test_where_no_process_can_be_started_the_server_commits(
    watched: OwnLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with driven(watched, Settings()) as committer:
        for _ in range(2):
            assert len(committer.accept(group())) == LARGE_GROUP
        assert committer.pid is None
    assert watched.groups == [LARGE_GROUP] * 2


def test_one_that_ends_as_soon_as_it_is_started_is_given_up(
    watched: OwnLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, children = Settings(), set(psutil.Process().children())
    monkeypatch.setenv("JOBYARD_LEDGER__URL", "mysql://nobody/nothing")
    with driven(watched, settings) as committer:
        assert committer.accept(group())
        wait_until(
            lambda: committer.pid is None and committer.committer._starting is None, 40, "it to be given up"
        )
        assert set(psutil.Process().children()) == children
        assert committer.accept(group())
    assert watched.groups == [LARGE_GROUP] * 2

"""The group commit of the API: what it promises to each request, whatever the others of its group ask for."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from jobyard.http.commit.async_group_commit import MOST_IN_GROUP, MOST_WAITING, SECOND_GROUP, AsyncGroupCommit
from jobyard.http.commit.committer import Committer
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job
from jobyard.jobs.reading.search import count_jobs
from jobyard.settings import Settings
from jobyard.settings.sections import ApiSettings

# None of these is due, so nobody rings for them.
LATER = timedelta(hours=1)


def new(**fields: Any) -> NewJob:
    usual: dict[str, Any] = {"task": "bad.deed", "payload": "{}", "max_attempts": 3, "delay": LATER}
    return NewJob(new_id(), **usual | fields)


class WatchedLedger(Ledger):
    """A ledger that remembers its groups, waits at a gate before each, and is out of reach when told so."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.database, ledger._settings)
        self.groups: list[int] = []
        self.gate, self.is_at_the_gate = threading.Event(), False
        self.gate.set()
        self.is_away = False

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        self.is_at_the_gate = True
        assert self.gate.wait(20)
        self.is_at_the_gate = False
        self.groups.append(len(new_jobs))
        if self.is_away:
            raise LedgerUnavailableError("away")
        return super().accept(new_jobs)


def group_commit_of(ledger: Ledger) -> AsyncGroupCommit:
    return AsyncGroupCommit(Committer(ledger, Settings(api=ApiSettings(committer=False))))


@pytest.fixture
def watched(own_ledger: Ledger) -> WatchedLedger:
    return WatchedLedger(own_ledger)


async def until(is_true: Any) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.005)


async def begin(
    ledger: WatchedLedger, commit: AsyncGroupCommit, requests: Sequence[Sequence[NewJob]]
) -> "list[asyncio.Task[list[Acceptance]]]":
    """Hand in the first request, and the others while its commit stands at the gate."""
    ledger.gate.clear()
    tasks = [asyncio.create_task(commit.accept(requests[0]))]
    await until(lambda: ledger.is_at_the_gate)
    tasks += [asyncio.create_task(commit.accept(request)) for request in requests[1:]]
    await until(lambda: len(commit._waiting) == len(requests) - 1)
    return tasks


async def together(
    ledger: WatchedLedger, commit: AsyncGroupCommit, requests: Sequence[Sequence[NewJob]]
) -> list[Any]:
    """Return the answers and errors of requests of which all but the first wait for a commit together."""
    tasks = await begin(ledger, commit, requests)
    ledger.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_a_request_alone_is_committed_at_once(watched: WatchedLedger) -> None:
    async def run() -> list[Acceptance]:
        commit = group_commit_of(watched)
        answer = await commit.accept([new()])
        await commit.close()
        return answer

    [acceptance] = asyncio.run(run())
    assert acceptance.verdict is Verdict.NEW
    assert get_job(watched.database, acceptance.job_id).task == "bad.deed"
    assert watched.groups == [1]


def test_requests_that_come_during_a_commit_share_the_next_and_each_gets_its_own_answers(
    watched: WatchedLedger,
) -> None:
    requests = [[new() for _ in range(count)] for count in (1, 2, 1, 5, 3)]

    async def run() -> list[Any]:
        commit = group_commit_of(watched)
        answers = await together(watched, commit, requests)
        await commit.close()
        return answers

    answers = asyncio.run(run())
    assert [[one.job_id for one in answer] for answer in answers] == [
        [one.id for one in request] for request in requests
    ]
    assert watched.groups == [1, 11]


def test_a_group_has_a_limit_and_a_request_is_never_split(watched: WatchedLedger) -> None:
    requests = [
        [new()],
        [new() for _ in range(MOST_IN_GROUP - 1)],
        [new(), new()],
        [new() for _ in range(700)],
    ]

    async def run() -> None:
        commit = group_commit_of(watched)
        await together(watched, commit, requests)
        await commit.close()

    asyncio.run(run())
    assert watched.groups == [1, MOST_IN_GROUP - 1, 2, 700]


def test_the_same_key_in_one_group_is_one_job(watched: WatchedLedger) -> None:
    rivals = [[new(idempotency_key="k", request_hash="h")] for _ in range(20)]
    other = [new(idempotency_key="k", request_hash="other")]

    async def run() -> list[Any]:
        commit = group_commit_of(watched)
        answers = await together(watched, commit, [[new()], *rivals, other])
        await commit.close()
        return answers[1:]

    answers = [answer for [answer] in asyncio.run(run())]
    assert len({answer.job_id for answer in answers}) == 1
    assert [answer.verdict for answer in answers] == [Verdict.NEW, *[Verdict.REPEATED] * 19, Verdict.CONFLICT]


def test_a_row_that_the_database_will_not_take_costs_the_others_nothing(watched: WatchedLedger) -> None:
    poisoned = new(max_attempts=None)

    async def run() -> list[Any]:
        commit = group_commit_of(watched)
        answers = await together(watched, commit, [[new()], [new()], [poisoned, new()], [new(), new()]])
        await commit.close()
        return answers

    first, second, refused, last = asyncio.run(run())
    assert isinstance(refused, Exception)
    assert not isinstance(refused, LedgerUnavailableError)
    assert [one.verdict for answer in (first, second, last) for one in answer] == [Verdict.NEW] * 4
    assert count_jobs(watched.database, JobFilter()).jobs == 4


def test_without_its_ledger_everybody_is_refused_and_the_next_are_accepted(watched: WatchedLedger) -> None:
    async def run() -> list[Any]:
        commit = group_commit_of(watched)
        watched.is_away = True
        answers = await together(watched, commit, [[new()], [new()], [new(), new()]])
        watched.is_away = False
        answers.append(await commit.accept([new()]))
        await commit.close()
        return answers

    *refused, accepted = asyncio.run(run())
    assert [type(answer) for answer in refused] == [LedgerUnavailableError] * 3
    assert accepted[0].verdict is Verdict.NEW
    assert count_jobs(watched.database, JobFilter()).jobs == 1
    assert watched.groups == [1, 3, 1]


def test_a_caller_who_has_gone_leaves_the_job_accepted_and_the_others_answered(
    watched: WatchedLedger,
) -> None:
    async def run() -> list[Acceptance]:
        commit = group_commit_of(watched)
        first, gone, last = await begin(watched, commit, [[new()], [new()], [new()]])
        gone.cancel()
        watched.gate.set()
        answers = [*await first, *await last]
        await commit.close()
        return answers

    assert [answer.verdict for answer in asyncio.run(run())] == [Verdict.NEW] * 2
    assert count_jobs(watched.database, JobFilter()).jobs == 3


def test_closing_finishes_what_was_begun(watched: WatchedLedger) -> None:
    async def run() -> list[Any]:
        commit = group_commit_of(watched)
        tasks = await begin(watched, commit, [[new()] for _ in range(5)])
        watched.gate.set()
        await commit.close()
        return await asyncio.gather(*tasks)

    assert len(asyncio.run(run())) == 5
    assert count_jobs(watched.database, JobFilter()).jobs == 5


def test_when_too_many_wait_the_next_is_told_to_come_back(watched: WatchedLedger) -> None:
    async def run() -> None:
        commit = group_commit_of(watched)
        first, many = await begin(watched, commit, [[new()], [new()] * MOST_WAITING])
        with pytest.raises(LedgerUnavailableError, match="try again later"):
            await commit.accept([new()])
        many.cancel()
        commit._waiting.clear()
        watched.gate.set()
        assert len(await first) == 1
        await commit.close()

    asyncio.run(run())


class TwoAtOnce:
    """Commits nothing; notes the groups, and lets each end when it is told to."""

    groups_at_once = 2

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.gates: list[asyncio.Event] = []

    async def commit(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        self.groups.append(len(new_jobs))
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        return [Acceptance(new.id, Verdict.NEW) for new in new_jobs]


def test_a_second_group_is_under_way_where_enough_have_come_and_never_a_third() -> None:
    async def run() -> list[int]:
        committer = TwoAtOnce()
        commit = AsyncGroupCommit(committer)
        requests = [asyncio.create_task(commit.accept([new()]))]
        await until(lambda: committer.groups == [1])
        requests += [asyncio.create_task(commit.accept([new()])) for _ in range(SECOND_GROUP - 1)]
        await asyncio.sleep(0.05)
        assert committer.groups == [1], "too few for a second"
        requests.append(asyncio.create_task(commit.accept([new()])))
        await until(lambda: committer.groups == [1, SECOND_GROUP])
        requests += [asyncio.create_task(commit.accept([new()])) for _ in range(3 * SECOND_GROUP)]
        await asyncio.sleep(0.05)
        assert len(committer.groups) == 2, "never a third"
        committer.gates[1].set()
        await until(lambda: len(committer.groups) == 3)
        for gate in committer.gates:
            gate.set()
        await asyncio.gather(*requests)
        await commit.close()
        return committer.groups

    assert asyncio.run(run()) == [1, SECOND_GROUP, 3 * SECOND_GROUP]

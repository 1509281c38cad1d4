"""JobWaiter for jobs: what a Prefer header asks for, and how many share one question."""

import asyncio
from collections.abc import Collection

import pytest

import jobyard.http.commit.waiting
from jobyard.http.commit.waiting import JobWaiter, requested_wait
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import finished_among as finished_really
from tests.support.ledger_jobs import accepted, claimed, dead

LONGEST = 60.0


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        *(("", 0), ("wait", 0), ("respond-async", 0), ("wait=0", 0), ("xwait=5", 0)),
        *(("wait=5", 5), ("WAIT=5", 5), ("wait = 5", 5), ('wait="5"', 5), ("wait=005", 5)),
        *(
            ("respond-async, wait=5", 5),
            ("wait=5; foo", 5),
            ("handling=lenient;wait=5", 5),
            ("wait=5, wait=9", 5),
        ),
        *(("wait=60", LONGEST), ("wait=61", LONGEST), ("wait=" + "9" * 5000, LONGEST)),
    ],
)
def test_a_preference_is_seconds_up_to_the_longest(prefer: str, seconds: float) -> None:
    assert requested_wait([prefer], LONGEST) == seconds
    assert requested_wait(["respond-async", prefer], LONGEST) == seconds


@pytest.mark.parametrize(
    "prefer", ["wait=", "wait=x", "wait=-1", "wait=1.5", "wait=²", "wait=1e3", 'wait=""', "wait=5s"]
)
def test_a_preference_that_is_no_number_is_ignored(prefer: str) -> None:
    assert requested_wait([prefer], LONGEST) == 0


def test_without_a_header_nobody_waits() -> None:
    assert requested_wait([], LONGEST) == 0


def test_whoever_waits_is_told_when_the_job_ends_however_it_ends(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    cancelled = accepted(own_ledger)

    async def run() -> list[bool]:
        waiting = JobWaiter(own_ledger)
        tasks = [asyncio.create_task(waiting.wait_for_end(one, 20)) for one in (job_id, job_id, cancelled)]
        tasks.append(asyncio.create_task(waiting.wait_for_end(dead(own_ledger), 20)))
        await asyncio.sleep(0)
        await asyncio.to_thread(own_ledger.settle, [Succeeded(job_id, attempt, "1")])
        await asyncio.to_thread(own_ledger.cancel, cancelled)
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [True] * 4


def test_when_the_time_is_up_the_answer_is_no(own_ledger: Ledger) -> None:
    assert asyncio.run(JobWaiter(own_ledger).wait_for_end(accepted(own_ledger), 0.1)) is False
    assert asyncio.run(JobWaiter(own_ledger).wait_for_end(new_id(), 0.1)) is False


def test_many_who_wait_share_one_question_and_nobody_asks_when_none_does(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, asked = [claimed(own_ledger) for _ in range(10)], []

    def finished_among(_: object, job_ids: Collection[str]) -> set[str]:
        asked.append(set(job_ids))
        return set(job_ids) if len(asked) == 3 else set()

    monkeypatch.setattr(jobyard.http.commit.waiting, "finished_among", finished_among)

    async def run() -> list[bool]:
        waiting = JobWaiter(own_ledger)
        told = await asyncio.gather(
            *(waiting.wait_for_end(job_id, 20) for job_id, _ in jobs for _ in range(5))
        )
        await asyncio.sleep(3 * jobyard.http.commit.waiting.POLL_SECONDS)
        assert waiting._poller is None
        assert not waiting._waiters
        return told

    assert asyncio.run(run()) == [True] * 50
    assert asked == [{job_id for job_id, _ in jobs}] * 3


def test_a_ledger_that_is_away_for_a_while_only_delays_the_answer(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, asked = dead(own_ledger), []

    def finished_among(engine: object, job_ids: Collection[str]) -> set[str]:
        asked.append(job_ids)
        if len(asked) < 4:
            raise LedgerUnavailableError("away")
        return finished_really(own_ledger.database, job_ids)

    monkeypatch.setattr(jobyard.http.commit.waiting, "finished_among", finished_among)
    assert asyncio.run(JobWaiter(own_ledger).wait_for_end(job_id, 20)) is True
    assert len(asked) == 4

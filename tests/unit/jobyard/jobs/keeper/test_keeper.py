"""What the keeper publishes, and when it keeps quiet."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import sleep

import pytest
from sqlalchemy import select

from jobyard.jobs.clock import db_now
from jobyard.jobs.job import NewJob, QueuedJob, Status, Succeeded, new_id
from jobyard.jobs.keeper.keeper import Keeper
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_job
from jobyard.settings.sections import KeeperSettings
from tests.support.ledger_jobs import accepted, claimed, found
from tests.support.waiting import wait_until


class Bell:
    """A doorbell that remembers; `waiting` is what its broker claims to hold."""

    def __init__(self, waiting: int | None = 1) -> None:
        self.rung: list[str] = []
        self.waiting = waiting
        self.is_deaf = False

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        self.rung += [job.id for job in jobs]

    def wait_until_sent(self) -> bool:
        return not self.is_deaf

    def is_failing(self) -> bool:
        return self.is_deaf

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        return dict.fromkeys(queues, self.waiting) if self.waiting is not None else {}


def keeper(ledger: Ledger, bell: Bell) -> Keeper:
    return Keeper(ledger.database, bell, ledger._settings)


def passes_until(kept: Keeper, bell: Bell, job_id: str) -> None:
    wait_until(lambda: (kept.pass_once(), job_id in bell.rung)[1], 5, f"{job_id} to be published")


def test_what_was_committed_and_never_published_is_published(own_ledger: Ledger) -> None:
    bell = Bell()
    job_id = accepted(own_ledger)
    passes_until(keeper(own_ledger, bell), bell, job_id)


def test_a_fresh_job_is_left_to_its_publisher(own_ledger: Ledger) -> None:
    bell = Bell()
    accepted(own_ledger)
    keeper(own_ledger, bell).pass_once()
    assert bell.rung == []


def test_a_delayed_job_is_queued_and_published_when_it_is_due(own_ledger: Ledger) -> None:
    bell = Bell()
    job_id = accepted(own_ledger, delay=timedelta(milliseconds=150))
    kept = keeper(own_ledger, bell)
    kept.pass_once()
    assert found(own_ledger, job_id).status is Status.SCHEDULED
    passes_until(kept, bell, job_id)
    assert found(own_ledger, job_id).status is Status.QUEUED


def test_a_job_whose_worker_fell_silent_is_published_again(own_ledger: Ledger) -> None:
    bell = Bell()
    job_id, _ = claimed(own_ledger)
    passes_until(keeper(own_ledger, bell), bell, job_id)
    assert found(own_ledger, job_id).lost == 1


def test_a_published_job_of_a_queue_that_the_broker_calls_empty_is_published_again(
    own_ledger: Ledger,
) -> None:
    bell = Bell(waiting=0)
    job_id = accepted(own_ledger)
    own_ledger.mark_published([job_id])
    passes_until(keeper(own_ledger, bell), bell, job_id)


def test_a_long_queue_is_no_reason_to_publish_again(own_ledger: Ledger) -> None:
    bell = Bell(waiting=1000)
    jobs = [new.job_id for new in own_ledger.accept([_plain() for _ in range(50)])]
    own_ledger.mark_published(jobs)
    running = jobs.pop(0)
    own_ledger.claim([running], "worker")
    kept = keeper(own_ledger, bell)

    def looked_again() -> bool:
        kept.pass_once()
        own_ledger.renew([(running, 1)])
        return get_job(own_ledger.database, running).lost == 0 and is_past_resend(own_ledger, jobs[0])

    wait_until(looked_again, 5, "the time to send again to pass")
    kept._next_search_at = 0
    kept.pass_once()
    assert bell.rung == []


def is_past_resend(ledger: Ledger, job_id: str) -> bool:
    published_at = found(ledger, job_id).published_at
    assert published_at is not None
    return (_now(ledger) - published_at) > timedelta(milliseconds=500)


def _now(ledger: Ledger) -> datetime:
    with ledger.database.engine.connect() as connection:
        return connection.execute(select(db_now())).scalar_one()


def test_a_silent_broker_is_no_reason_to_publish_again(own_ledger: Ledger) -> None:
    bell = Bell(waiting=None)
    job_id = accepted(own_ledger)
    own_ledger.mark_published([job_id])
    kept = keeper(own_ledger, bell)
    wait_until(lambda: is_past_resend(own_ledger, job_id), 5, "the time to send again to pass")
    kept._next_search_at = 0
    kept.pass_once()
    assert bell.rung == []


def test_a_pass_over_a_quiet_ledger_moves_nothing(own_ledger: Ledger) -> None:
    bell = Bell()
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle([Succeeded(job_id, attempt, "{}")])
    assert keeper(own_ledger, bell).pass_once() == 0


def _plain() -> NewJob:
    return NewJob(id=new_id(), task="bad.deed", payload="{}", max_attempts=1)


def test_a_keeper_whose_broker_is_away_leaves_the_jobs_to_others(own_ledger: Ledger) -> None:
    ids = {accepted(own_ledger) for _ in range(20)}
    patient = KeeperSettings(unsent_after=timedelta(minutes=1), batch=50)  # so that nothing is sent again
    settings = own_ledger._settings.model_copy(update={"keeper": patient})
    deaf, hearing = Bell(), Bell()
    deaf.is_deaf = True
    sleep(0.3)
    Keeper(own_ledger.database, deaf, settings).pass_once()
    Keeper(own_ledger.database, hearing, settings).pass_once()
    assert len(deaf.rung) == 1
    assert set(hearing.rung) == ids - set(deaf.rung)


def test_ten_keepers_do_the_work_of_one(own_ledger: Ledger) -> None:
    ids = {accepted(own_ledger, delay=timedelta(milliseconds=150) * (number % 2)) for number in range(200)}
    is_second = threading.Event()
    bells: list[Bell] = []

    class BellForTwo(Bell):
        def publish(self, jobs: Sequence[QueuedJob]) -> None:
            """Hold up whoever rings first until somebody else rings: none is to do it all."""
            super().publish(jobs)
            if any(bell.rung for bell in bells if bell is not self):
                is_second.set()
            is_second.wait(30)

    bells += [BellForTwo() for _ in range(10)]
    patient = KeeperSettings(unsent_after=timedelta(minutes=1), batch=20)  # so that nothing is sent again
    settings = own_ledger._settings.model_copy(update={"keeper": patient})
    sleep(0.3)  # both kinds are due

    def keep(bell: Bell) -> None:
        kept = Keeper(own_ledger.database, bell, settings)
        for _ in range(10):
            kept.pass_once()

    with ThreadPoolExecutor(len(bells)) as threads:
        list(threads.map(keep, bells))
    rung = [job_id for bell in bells for job_id in bell.rung]
    assert len(rung) == len(set(rung)), "a job was published by two of them"
    assert set(rung) == ids
    assert is_second.is_set(), "one did it all, and the others were not tried"


def in_tens(ledger: Ledger, bell: Bell) -> Keeper:
    patient = KeeperSettings(unsent_after=timedelta(minutes=1), batch=10)
    return Keeper(ledger.database, bell, ledger._settings.model_copy(update={"keeper": patient}))


def all_due_at_once(ledger: Ledger, count: int) -> list[str]:
    soon = timedelta(milliseconds=50)
    new = [NewJob(id=new_id(), task="t", payload="{}", max_attempts=1, delay=soon) for _ in range(count)]
    job_ids = [acceptance.job_id for acceptance in ledger.accept(new)]
    sleep(0.1)
    return job_ids


def test_whatever_is_due_together_is_published_in_one_pass(own_ledger: Ledger) -> None:
    bell = Bell()
    job_ids = all_due_at_once(own_ledger, 35)
    kept = in_tens(own_ledger, bell)
    assert kept.pass_once() == 35
    assert sorted(bell.rung) == sorted(job_ids)
    assert not kept.is_behind


def test_a_broker_that_takes_nothing_is_given_one_group_in_a_pass(own_ledger: Ledger) -> None:
    bell = Bell()
    bell.is_deaf = True
    all_due_at_once(own_ledger, 35)
    kept = in_tens(own_ledger, bell)
    assert (kept.pass_once(), len(bell.rung)) == (10, 10)
    assert not kept.is_behind


class CountingBell(Bell):
    """Remembers how many jobs it was given at a time, and takes so many groups before it takes nothing."""

    def __init__(self, groups: int = 1_000) -> None:
        super().__init__()
        self.groups = groups
        self.sizes: list[int] = []

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        self.sizes.append(len(jobs))
        self.is_deaf = len(self.sizes) > self.groups


def test_a_broker_that_takes_no_more_is_given_what_was_on_its_way_by_then(own_ledger: Ledger) -> None:
    bell = CountingBell(groups=2)
    all_due_at_once(own_ledger, 300)
    in_tens(own_ledger, bell).pass_once()
    assert len(bell.sizes) == 4, "two that it took, one that it did not take, and one behind that"


def test_many_that_are_due_go_in_groups_that_grow(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobyard.jobs.keeper.batch_size.SHORT_SECONDS", 60)
    bell = CountingBell()
    all_due_at_once(own_ledger, 300)
    assert in_tens(own_ledger, bell).pass_once() == 300
    assert bell.sizes == [10, 20, 40, 80, 100, 50]


def test_a_keeper_that_has_not_done_all_says_so(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobyard.jobs.keeper.keeper.MAX_DUTY_SECONDS", 0)
    all_due_at_once(own_ledger, 35)
    kept = in_tens(own_ledger, Bell())
    passes = [(kept.pass_once(), kept.is_behind) for _ in range(4)]
    assert passes == [(10, True), (10, True), (10, True), (5, False)]


def test_a_keeper_goes_on_at_once_with_what_an_empty_queue_has_lost(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobyard.jobs.keeper.keeper.MAX_DUTY_SECONDS", 0)
    bell = Bell(waiting=0)
    job_ids = [accepted(own_ledger) for _ in range(35)]
    own_ledger.mark_published(job_ids)
    wait_until(lambda: is_past_resend(own_ledger, job_ids[-1]), 5, "the time to send again to pass")
    kept = in_tens(own_ledger, bell)
    assert (kept.pass_once(), kept.is_behind) == (10, True)
    bell.waiting = 10  # what it has published by now, so the queue is not empty any more
    assert [kept.pass_once() for _ in range(4)] == [10, 10, 5, 0]
    assert sorted(bell.rung) == sorted(job_ids)

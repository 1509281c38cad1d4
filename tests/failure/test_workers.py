"""Workers that are killed, frozen, stopped, or brought down by what they run (rows 1 to 8 of the matrix)."""

import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from sqlalchemy import update

from jobyard.jobs.database.schema import job as job_table
from jobyard.jobs.job import Cause, Failure, Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from jobyard.jobs.reading.job_queries import get_attempts
from tests.support.broker import on_every_broker
from tests.support.own_yard import OwnYard
from tests.support.processes import Program


def freeze(own: OwnYard, worker: Program, when: Callable[[], bool] = lambda: True) -> None:
    """Stop a worker at a moment at which it does not hold the ledger, which SQLite has one writer for."""
    for attempt in count(1):
        worker.kill(signal.SIGSTOP)
        with suppress(sqlite3.OperationalError), own.writing_at_once():
            if when():
                return
        worker.kill(signal.SIGCONT)
        sleep(0.1 * attempt)  # it has to catch up with what it has missed, and writes meanwhile


@on_every_broker
def test_row_1_a_message_that_was_fetched_by_a_worker_that_died_comes_again(
    own: OwnYard, own_worker: Program
) -> None:
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    # It waits for a message: the next one goes to it, and no further.
    freeze(own, own_worker, own.broker.has_a_waiting_consumer)
    [job_id] = own.hand_in()
    own.publish([job_id])
    own.wait_until(lambda: own.broker.depth() == 0, 5, "the message to be fetched")
    own_worker.kill()
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)


def test_a_job_that_may_begin_only_once_is_dead_after_its_worker_was_killed(
    own: OwnYard, own_worker: Program
) -> None:
    [job_id] = own.hand_in("sleep", task="bad.only_once", seconds=60)
    own.wait_to_begin(job_id)
    own_worker.kill()
    own.start_worker()
    own.wait_for([job_id], Status.DEAD)
    assert own.runs() == [(job_id, 1)]
    failure = own.job(job_id).failure
    assert failure is not None
    assert failure.cause is Cause.LOST_WORKER


@on_every_broker
def test_row_2_a_job_whose_worker_is_killed_is_run_by_another(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("sleep", seconds=60)
    own.wait_to_begin(job_id)
    own_worker.kill()
    own.start_worker()
    own.wait_to_begin(job_id, attempt=2)
    [lost] = get_attempts(own.ledger.database, job_id)
    assert lost.failure.cause is Cause.LOST_WORKER
    assert own.job(job_id).lost == 1


@on_every_broker
def test_row_3_a_child_that_is_killed_costs_its_job_an_attempt_and_nobody_else(own: OwnYard) -> None:
    worker = own.start_worker("prefork", 2)
    [job_id] = own.hand_in("sleep", seconds=3)
    own.wait_to_begin(job_id)
    child = int((own.job(job_id).worker or "").rpartition("/")[2])
    assert child != worker.process.pid
    os.kill(child, signal.SIGKILL)
    own.wait_for([job_id, *own.hand_in()], Status.SUCCEEDED)
    assert own.job(job_id).attempt == 2
    assert worker.process.poll() is None


def test_row_4_a_job_that_kills_its_worker_every_time_is_dead_after_three(own: OwnYard) -> None:
    killer, innocent = own.hand_in("kill_worker")[0], own.hand_in("return")[0]

    def with_a_worker() -> bool:
        if all(program.process.poll() is not None for program in own.programs if "worker" in program.name):
            own.start_worker("solo", 1)
        return own.job(killer).status.is_final

    own.wait_until(with_a_worker, 60, "the killer to be given up")
    job = own.job(killer)
    assert (job.status, job.lost, job.failures) == (Status.DEAD, 3, 0)
    assert job.failure is not None
    assert job.failure.cause is Cause.LOST_WORKER
    own.wait_for([innocent], Status.SUCCEEDED)
    assert [cause.failure.cause for cause in get_attempts(own.ledger.database, killer)] == [
        Cause.LOST_WORKER
    ] * 3


@on_every_broker
def test_row_4_the_jobs_beside_a_killer_live(own: OwnYard) -> None:
    innocent = own.hand_in("block", 2, seconds=4)
    killer = own.hand_in("kill_worker")[0]

    def all_have_ended() -> bool:
        if all(program.process.poll() is not None for program in own.programs if "worker" in program.name):
            own.start_worker("threads", 3)
        return all(job.status.is_final for job in own.jobs([killer, *innocent]))

    own.wait_until(all_have_ended, 90, "all of them to end")
    assert [job.status for job in own.jobs([killer, *innocent])] == [Status.DEAD, *[Status.SUCCEEDED] * 2]
    assert own.job(killer).lost == 3
    assert all(job.lost <= 2 for job in own.jobs(innocent))
    own.check_invariant(innocent)


def suspect(own: OwnYard, then: str, **more: Any) -> str:
    """Accept a job that has been lost twice, so that it runs alone."""
    [job_id] = own.hand_in(then, **more)
    with own.ledger.database.engine.begin() as connection:
        connection.execute(update(job_table).where(job_table.c.id == job_id).values(lost=2))
    return job_id


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_suspect_runs_alone_and_ends_as_it_would_in_a_worker(own: OwnYard, pool: str) -> None:
    good = suspect(own, "return")
    bad, again = suspect(own, "raise"), suspect(own, "fail_once")
    slow = suspect(own, "sleep", task="bad.limited", seconds=60)
    killer, leaver = suspect(own, "kill"), suspect(own, "exit_at_once")
    worker = own.start_worker(pool, 2)
    own.wait_for([good, again], Status.SUCCEEDED)
    own.wait_for([bad, slow, killer, leaver], Status.DEAD)
    causes = [job.failure.cause for job in own.jobs([bad, slow, killer, leaver]) if job.failure]
    assert causes == [Cause.EXCEPTION, Cause.TIME_LIMIT, Cause.LOST_WORKER, Cause.LOST_WORKER]
    assert [job.lost for job in own.jobs([good, bad, killer, leaver])] == [2, 2, 3, 3]
    assert "signal SIGKILL" in (own.job(killer).failure or Failure(Cause.EXCEPTION, "", "")).message
    assert worker.process.poll() is None
    own.check_invariant([good, again])


def test_a_suspect_is_handed_back_when_its_worker_stops(own: OwnYard) -> None:
    job_id = suspect(own, "block", seconds=60)
    worker = own.start_worker()
    own.wait_to_begin(job_id)
    assert worker.stop(seconds=15) == 0, worker.output()
    assert (own.job(job_id).status, own.job(job_id).lost) == (Status.QUEUED, 2)
    assert not any(
        b"jobyard.worker.execution.isolated" in command_line(entry) for entry in Path("/proc").glob("[0-9]*")
    )


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_row_5_a_child_out_of_memory_fails_the_attempt_and_lives(own: OwnYard) -> None:
    own.settings["JOBYARD_WORKER__CHILD_MEMORY_BYTES"] = str(600 * 1024**2)
    own.start_worker("prefork", 1)
    [greedy] = own.hand_in("allocate", number=2 * 1024**3)
    own.wait_for([greedy], Status.DEAD)
    failure = own.job(greedy).failure
    assert failure is not None
    assert failure.cause is Cause.OUT_OF_MEMORY
    [next_one] = own.hand_in()
    own.wait_for([next_one], Status.SUCCEEDED)
    assert own.job(next_one).worker == own.job(greedy).worker


@on_every_broker
def test_row_6_a_frozen_worker_that_comes_back_can_change_nothing(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("block", seconds=1)
    own.wait_to_begin(job_id)
    freeze(own, own_worker)
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)
    before = own.job(job_id)
    assert before.attempt == 2
    own_worker.kill(signal.SIGCONT)
    own.wait_until(lambda: own.fault_count(FaultKind.LATE_RESULT) == 1, 20, "the late write to be refused")
    assert own.job(job_id) == before


@on_every_broker
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_row_7_a_worker_that_is_told_to_stop_finishes_or_hands_back(own: OwnYard, pool: str) -> None:
    job_ids = [*own.hand_in("sleep", 6, seconds=0.3), *own.hand_in("sleep", 2, seconds=30)]
    worker = own.start_worker(pool, 4)
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    assert worker.stop(seconds=15) == 0, worker.output()
    running = [job for job in own.jobs(job_ids) if job.status is Status.RUNNING]
    assert running == [], worker.output()
    assert all(job.lost == 0 for job in own.jobs(job_ids))
    own.check_invariant(job_ids)


@on_every_broker
def test_row_7_stopped_at_any_moment_nothing_is_lost(own: OwnYard) -> None:
    dice = random.Random(7)
    job_ids: list[str] = []
    for _ in range(8):
        job_ids += own.hand_in("sleep", 10, seconds=0.05)
        worker = own.start_worker()
        sleep(dice.uniform(0, 0.4))
        assert worker.stop(seconds=15) == 0, worker.output()
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)


@on_every_broker
def test_row_7_a_second_signal_and_a_kill_lose_nothing(own: OwnYard, own_worker: Program) -> None:
    job_ids = own.hand_in("sleep", 8, seconds=0.5)
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own_worker.process.send_signal(signal.SIGTERM)
    own_worker.process.send_signal(signal.SIGTERM)
    own.wait_until(lambda: own_worker.process.poll() is not None, 15, "the worker to end")
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)


@on_every_broker
def test_row_8_a_worker_stops_in_time_while_its_broker_is_silent(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("sleep", seconds=60)
    own.wait_to_begin(job_id)
    own.broker.kill(signal.SIGSTOP)
    own_worker.process.send_signal(signal.SIGTERM)
    own.wait_until(lambda: own_worker.process.poll() is not None, 15, "the worker to end")
    own.broker.kill(signal.SIGCONT)
    assert own.job(job_id).status is Status.QUEUED
    assert own.job(job_id).lost == 0


@on_every_broker
def test_a_thread_that_hangs_past_its_limit_is_replaced_by_a_new_child(own: OwnYard) -> None:
    own.start_worker("prefork", 1)
    [hangs] = own.hand_in("block", seconds=300, task="bad.limited")
    own.wait_for([hangs], Status.DEAD)
    failure = own.job(hangs).failure
    assert failure is not None
    assert (failure.cause, failure.type) == (Cause.TIME_LIMIT, "TimeLimitExceeded")
    [next_one] = own.hand_in()
    own.wait_for([next_one], Status.SUCCEEDED)
    assert own.job(next_one).worker != own.job(hangs).worker
    assert own.fault_count(FaultKind.THREAD_LEFT_BEHIND) == 1


ODD = ("half_a_character", "nul", "wordless", "long_name", "base", "interrupt", "reject", "group", "deep")


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_that_closes_the_log_loses_no_outcome(own: OwnYard, pool: str) -> None:
    own.start_worker(pool, 1)
    job_ids = own.hand_in("close_output") + own.hand_in(how_many=3)
    own.publish(job_ids)
    own.wait_for(job_ids, Status.SUCCEEDED)


def test_a_task_that_waits_for_another_job_is_told_not_to(own: OwnYard) -> None:
    worker = own.start_worker("threads", 1)
    [job_id] = own.hand_in("wait_for_another")
    own.wait_for([job_id], Status.DEAD)
    failure = own.job(job_id).failure
    assert failure is not None
    assert "must not wait for another job" in failure.message
    assert worker.process.poll() is None


@pytest.mark.parametrize(("pool", "start"), [("prefork", "fork"), ("prefork", "spawn"), ("threads", "spawn")])
def test_a_task_may_have_processes_of_its_own(own: OwnYard, pool: str, start: str) -> None:
    worker = own.start_worker(pool, 2)
    job_ids = own.hand_in("pool", 2, text=start)
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    assert {own.job(job_id).result for job_id in job_ids} == {'{"said":"45"}'}
    assert worker.stop() == 0


def test_a_child_that_a_task_forks_ends_where_the_task_does(own: OwnYard) -> None:
    own.start_worker("threads", 1)
    job_ids = [own.hand_in("fork", text=end)[0] for end in ("return", "exit", "raise")]
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert [own.job(job_id).result for job_id in job_ids] == [f'{{"said":"{code}"}}' for code in (0, 7, 1)]


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_whatever_a_task_raises_ends_its_job_and_no_other(own: OwnYard, pool: str) -> None:
    odd = [own.hand_in("raise_odd", odd=kind)[0] for kind in ODD]
    innocent = own.hand_in(how_many=10)
    worker = own.start_worker(pool, 2)
    own.publish([job_id for pair in zip(odd, innocent, strict=False) for job_id in pair])
    own.wait_for(odd, Status.DEAD)
    own.wait_for(innocent, Status.SUCCEEDED)
    assert [(job.failures, job.lost) for job in own.jobs(odd)] == [(1, 0)] * len(odd)
    assert all(job.failure and job.failure.message for job in own.jobs(odd))
    assert worker.process.poll() is None
    own.check_invariant(odd + innocent)

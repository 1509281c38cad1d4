"""Workers that are killed, frozen, stopped, or brought down by what they run (rows 1 to 8 of the matrix)."""

import os
import random
import signal
from time import sleep

import pytest

from jobs.job import Cause, Status
from jobs.records import get_attempts
from jobs.tallies import Tally
from tests.support.own_yard import OwnYard
from tests.support.processes import Program


def test_row_1_a_message_that_was_fetched_by_a_worker_that_died_comes_again(
    own: OwnYard, own_worker: Program
) -> None:
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    own_worker.kill(signal.SIGSTOP)  # it waits in BRPOP: the next message goes to it, and no further
    [job_id] = own.hand_in()
    own.publish([job_id])
    assert own.broker.llen("default:5") == 0, "the message was not fetched"
    own_worker.kill()
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)


def test_row_2_a_job_whose_worker_is_killed_is_run_by_another(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("sleep", seconds=60)
    own.wait_to_begin(job_id)
    own_worker.kill()
    own.start_worker()
    own.wait_to_begin(job_id, attempt=2)
    [lost] = get_attempts(own.ledger.engine, job_id)
    assert lost.failure.cause is Cause.LOST_WORKER
    assert own.job(job_id).lost == 1


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
    assert [cause.failure.cause for cause in get_attempts(own.ledger.engine, killer)] == [
        Cause.LOST_WORKER
    ] * 3


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


def test_row_6_a_frozen_worker_that_comes_back_can_change_nothing(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("block", seconds=1)
    own.wait_to_begin(job_id)
    own_worker.kill(signal.SIGSTOP)
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)
    before = own.job(job_id)
    assert before.attempt == 2
    own_worker.kill(signal.SIGCONT)
    own.wait_until(lambda: own.tally(Tally.LATE_RESULT) == 1, 20, "the late write to be refused")
    assert own.job(job_id) == before


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


def test_row_7_a_second_signal_and_a_kill_lose_nothing(own: OwnYard, own_worker: Program) -> None:
    job_ids = own.hand_in("sleep", 8, seconds=0.5)
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own_worker.process.send_signal(signal.SIGTERM)
    own_worker.process.send_signal(signal.SIGTERM)
    own.wait_until(lambda: own_worker.process.poll() is not None, 15, "the worker to end")
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)


def test_row_8_a_worker_stops_in_time_while_its_broker_is_silent(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("sleep", seconds=60)
    own.wait_to_begin(job_id)
    own.valkey.kill(signal.SIGSTOP)
    own_worker.process.send_signal(signal.SIGTERM)
    own.wait_until(lambda: own_worker.process.poll() is not None, 15, "the worker to end")
    own.valkey.kill(signal.SIGCONT)
    assert own.job(job_id).status is Status.QUEUED
    assert own.job(job_id).lost == 0


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
    assert own.tally(Tally.THREAD_LEFT_BEHIND) == 1


ODD = ("half_a_character", "nul", "wordless", "long_name", "base", "interrupt", "reject", "group", "deep")


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

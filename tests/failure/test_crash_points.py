"""Processes that end between any two durable steps, with every kind of job (rows 22 and 23 of the matrix)."""

from collections.abc import Callable
from datetime import timedelta
from time import sleep
from typing import Any

import httpx
import pytest

from jobyard.jobs.crash_points import EXIT_CODE, CrashPoint
from jobyard.jobs.job import Status
from tests.support.broker import on_every_broker
from tests.support.ledger_jobs import dead
from tests.support.own_yard import OwnYard
from tests.support.processes import Program

pytestmark = pytest.mark.timeout(180)

KINDS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "plain": ({"then": "return"}, {}),
    "delayed": ({"then": "return"}, {"delay": "0.5"}),
    "failing once": ({"then": "fail_once"}, {}),
}
OF_THE_API = (CrashPoint.BEFORE_ACCEPT, CrashPoint.ACCEPTED, CrashPoint.BEFORE_PUBLISH, CrashPoint.PUBLISHED)
OF_A_WORKER = (CrashPoint.FETCHED, CrashPoint.CLAIMED, CrashPoint.RAN, CrashPoint.SETTLED)
OF_THE_KEEPER = (CrashPoint.TAKEN_UP,)
ELSEWHERE = (CrashPoint.SENT_EARLY, CrashPoint.REPLAYED, CrashPoint.TICKED)


def test_every_crash_point_is_visited_here() -> None:
    assert sorted((*OF_THE_API, *OF_A_WORKER, *OF_THE_KEEPER, *ELSEWHERE)) == list(CrashPoint)


def post(own: OwnYard, order: dict[str, Any], options: dict[str, str]) -> str | None:
    """Hand a job in; return its id, or None where nobody answered."""
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    try:
        answer = httpx.post(url, json=order | {"journal": str(own.journal)}, params=options, timeout=10)
    except httpx.TransportError:
        return None
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ends_at(own: OwnYard, point: CrashPoint, start: Callable[[], Program]) -> Callable[[], None]:
    """Start a program with a crash point; call the answer to wait until it has ended there."""
    program = own.with_crash_at(point, start)

    def wait() -> None:
        own.wait_until(lambda: program.process.poll() is not None, 20, f"{program.name} to get to {point!r}")
        assert program.process.returncode == EXIT_CODE, program.output()

    return wait


def everything_succeeds(own: OwnYard, accepted: list[str]) -> None:
    all_there = [job_id for job_id, _ in own.everything()]
    assert set(accepted) <= set(all_there), "a job that was answered with 202 is not there"
    own.wait_for(all_there, Status.SUCCEEDED)
    own.check_invariant(all_there)


@on_every_broker
@pytest.mark.parametrize("point", OF_THE_API)
def test_an_api_that_dies_has_lost_nothing_that_it_answered(own: OwnYard, point: CrashPoint) -> None:
    own.start_worker()
    accepted: list[str] = []
    for order, options in KINDS.values():
        has_died = ends_at(own, point, own.start_api)
        if job_id := post(own, order, options):
            accepted.append(job_id)
        if "delay" in options and point in (CrashPoint.BEFORE_PUBLISH, CrashPoint.PUBLISHED):
            accepted.append(
                post(own, {"then": "return"}, {}) or ""
            )  # a delayed job is the keeper's to publish
        has_died()
    own.start_api()
    accepted += [post(own, order, options) or "" for order, options in KINDS.values()]
    everything_succeeds(own, [job_id for job_id in accepted if job_id])


@pytest.mark.parametrize("point", OF_A_WORKER)
def test_a_worker_that_dies_costs_a_job_an_attempt_at_most(on_either: OwnYard, point: CrashPoint) -> None:
    own = on_either
    own.settings["JOBYARD_KEEPER__MAX_LOST"] = "9"  # on a slow machine one job may meet all of these deaths
    job_ids: list[str] = []
    for order, options in KINDS.values():
        delay = timedelta(seconds=float(options.get("delay", 0)))
        job_ids += own.hand_in(order["then"], delay=delay)
        ends_at(own, point, lambda: own.start("worker", *own.worker_command("threads", 1)))()
    own.start_worker()
    everything_succeeds(own, job_ids)
    retries, deaths = 1, len(KINDS)
    assert sum(job.attempt for job in own.jobs(job_ids)) <= len(job_ids) + retries + deaths


@on_every_broker
@pytest.mark.parametrize("point", OF_A_WORKER)
def test_a_worker_that_dies_in_a_bundle_costs_no_job_of_it(own: OwnYard, point: CrashPoint) -> None:
    job_ids = own.hand_in(how_many=10)
    own.publish(job_ids)
    ends_at(own, point, lambda: own.start("worker", *own.worker_command("threads", 1)))()
    own.start_worker()
    everything_succeeds(own, job_ids)
    assert all(job.attempt <= 2 for job in own.jobs(job_ids))


@on_every_broker
@pytest.mark.parametrize("kind", ["unsent", "due", "retrying", "lost"])
def test_a_keeper_that_dies_leaves_it_to_the_next(own: OwnYard, kind: str) -> None:
    worker = own.start_worker()
    if kind == "lost":
        job_ids = own.hand_in("sleep", seconds=1)
        own.wait_to_begin(job_ids[0])
    elif kind == "retrying":
        job_ids = own.hand_in("fail_once")
        own.wait_until(lambda: own.job(job_ids[0]).status is Status.RETRYING, 20, "the job to fail")
    worker.kill()
    if kind in ("unsent", "due"):
        job_ids = own.hand_in(delay=timedelta(seconds=0.3 if kind == "due" else 0))
    ends_at(own, CrashPoint.TAKEN_UP, lambda: own.start("keeper", "jobyard.worker.keeper_thread"))()
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)


def test_a_replay_whose_api_dies_is_carried_out(own: OwnYard) -> None:
    order = f'{{"then": "return", "journal": "{own.journal}"}}'
    job_id = dead(own.ledger, payload=order)
    has_died = ends_at(own, CrashPoint.REPLAYED, own.start_api)
    with pytest.raises(httpx.TransportError):
        httpx.post(f"http://127.0.0.1:{own.port('API')}/v1/jobs/{job_id}/replay", timeout=10)
    has_died()
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)
    assert own.job(job_id).replays == 1


def test_an_api_that_dies_after_an_early_message_and_before_the_commit_leaves_a_message_and_no_job(
    on_either: OwnYard,
) -> None:
    own = on_either
    own.start_worker()
    has_died = ends_at(own, CrashPoint.SENT_EARLY, own.start_api)
    accepted: list[str] = []
    while job_id := post(own, {"then": "return"}, {}):  # the first ones go the usual way
        accepted.append(job_id)
        sleep(0.05)
    has_died()
    own.start_api()
    accepted.append(post(own, {"then": "return"}, {}) or "")
    everything_succeeds(own, accepted)
    assert len(own.everything()) == len(accepted), "nobody was answered, and nothing was written"


def test_row_23_a_job_that_was_committed_and_not_published_runs_within_seconds(on_either: OwnYard) -> None:
    own = on_either
    own.start_worker()
    has_died = ends_at(own, CrashPoint.ACCEPTED, own.start_api)
    assert post(own, {"then": "return"}, {}) is None
    has_died()
    [(job_id, _)] = own.everything()
    own.wait_for([job_id], Status.SUCCEEDED, seconds=5)

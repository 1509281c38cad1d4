"""Celery's signals for each job, in real workers of both kinds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobyard.jobs.job import NewJob, Status, new_id
from tests.support.own_yard import QUICK, OwnYard, opened

JOURNAL = "SIGNAL_JOURNAL"  # of `tests/support/signal_tasks.py`, whose receivers are for workers alone

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnYard]:
    """A yard with a worker on threads for most queues, and one of child processes for `images`."""
    home = tmp_path_factory.mktemp("yard")
    settings = QUICK | {"JOBYARD_TASKS__MODULES": "tests.support.signal_tasks"}
    with opened(home, settings) as yard:
        yard.extra[JOURNAL] = str(home / "signals")
        yard.start_worker(queues="default")
        yard.start_worker("prefork", 1, queues="images")
        yield yard


def heard(own: OwnYard, job_id: str) -> list[dict[str, Any]]:
    """Return what receivers have heard of a job, in order."""
    lines = (json.loads(line) for line in Path(own.extra[JOURNAL]).read_text().splitlines())
    return [line for line in lines if line.get("job") == job_id]


def names(own: OwnYard, job_id: str) -> list[str]:
    return [line["signal"] for line in heard(own, job_id)]


def accept(own: OwnYard, how_many: int = 1, task: str = "signalled.do", **fields: Any) -> list[str]:
    options = {name: fields.pop(name) for name in list(fields) if name in NewJob._fields}
    options = {"max_attempts": 2} | options
    new = [
        NewJob(id=new_id(), task=task, payload=json.dumps({"number": number, **fields}), **options)
        for number in range(how_many)
    ]
    return [acceptance.job_id for acceptance in own.ledger.accept(new)]


@pytest.mark.parametrize("queue", ["default", "images"])
@pytest.mark.parametrize("task", ["signalled.do", "signalled.wait"])
def test_each_job_of_a_bundle_is_reported_with_its_own_arguments(own: OwnYard, queue: str, task: str) -> None:
    jobs = accept(own, 20, task, queue=queue)
    own.wait_for(jobs, Status.SUCCEEDED)
    for number, job_id in enumerate(jobs):
        assert names(own, job_id) == ["task_prerun", "task_success", "task_postrun"]
        prerun, success, _ = heard(own, job_id)
        assert str(number) in str(prerun["args"])
        assert success["result"] == number
        assert prerun["task"] == task


@pytest.mark.parametrize("queue", ["default", "images"])
def test_failures_and_retries_are_reported_once_each(own: OwnYard, queue: str) -> None:
    [failing], [retried] = accept(own, then="raise", queue=queue), accept(own, then="hiccup", queue=queue)
    own.wait_for([failing, retried], Status.DEAD)
    assert names(own, failing) == ["task_prerun", "task_failure", "task_postrun"]
    assert names(own, retried) == [
        *("task_prerun", "task_retry", "task_postrun"),
        *("task_prerun", "task_failure", "task_postrun"),
    ]
    assert [line["error"] for line in heard(own, retried) if line["signal"] == "task_failure"] == [
        "HiccupError"
    ]


def test_a_failing_coroutine_is_reported(own: OwnYard) -> None:
    [job_id] = accept(own, task="signalled.wait", then="raise")
    own.wait_for([job_id], Status.DEAD)
    assert names(own, job_id) == ["task_prerun", "task_failure", "task_postrun"]


def test_an_attempt_that_is_left_behind_at_its_hard_limit_is_a_failure(own: OwnYard) -> None:
    [job_id] = accept(own, task="signalled.hang")
    own.wait_for([job_id], Status.DEAD)
    assert names(own, job_id)[:2] == ["task_prerun", "task_failure"]
    assert heard(own, job_id)[1]["error"] == "TimeLimitExceeded"
    own.wait_until(lambda: "task_postrun" in names(own, job_id), 10, "its thread to end")
    assert names(own, job_id) == ["task_prerun", "task_failure", "task_postrun"]


def test_a_revoked_job_is_reported_by_the_worker_that_gets_its_message(own: OwnYard) -> None:
    """Its message waits behind a job that keeps the one process of that queue busy."""
    [busy] = accept(own, then="nap", queue="images")
    own.wait_until(lambda: names(own, busy), 20, "it to begin")
    [revoked] = accept(own, queue="images")
    own.ledger.cancel(revoked)
    own.publish([revoked], "signalled.do", "images")
    own.wait_until(lambda: "task_revoked" in names(own, revoked), 20, "the signal")
    assert set(names(own, revoked)) == {"task_revoked"}
    own.wait_for([busy], Status.SUCCEEDED)


def test_a_job_of_an_unknown_task_is_reported_by_its_own_id(own: OwnYard) -> None:
    jobs = accept(own, 2, task="signalled.unheard_of")
    own.wait_until(lambda: all(names(own, job_id) for job_id in jobs), 30, "the signals")
    assert {name for job_id in jobs for name in names(own, job_id)} == {"task_unknown"}


def test_a_child_that_is_lost_reports_no_message_as_a_task(own: OwnYard) -> None:
    """The job has an id of its own in the ledger, and runs again: it has not failed."""
    [job_id] = accept(own, then="exit_at_once", queue="images")
    own.wait_for([job_id], Status.DEAD, 60)
    pids = {line["pid"] for line in heard(own, job_id)}
    assert set(names(own, job_id)) == {"task_prerun"}
    assert len(pids) == 3  # two children, and then a process of its own


@pytest.fixture(scope="module")
def jobs_url(own: OwnYard) -> str:
    own.start_api()
    return f"http://127.0.0.1:{own.port('API')}/v1/tasks/signalled.do/jobs"


def test_the_api_reports_an_accepted_job_after_its_commit(own: OwnYard, jobs_url: str) -> None:
    job_id = httpx.post(jobs_url, json={"number": 7}, timeout=20).json()["id"]
    own.wait_for([job_id], Status.SUCCEEDED)
    own.wait_until(lambda: "after_task_publish" in names(own, job_id), 10, "the signals")
    lines = {line["signal"]: line for line in heard(own, job_id)}
    assert lines["job_accepted"]["task"] == "signalled.do"
    assert json.loads(lines["job_accepted"]["payload"]) == {"number": 7}
    assert lines["after_task_publish"]["args"] == [7]
    assert lines["after_task_publish"]["queue"] == "default"


def test_jobs_that_the_process_beside_the_api_commits_are_reported_once(own: OwnYard, jobs_url: str) -> None:
    def post(number: int) -> list[str]:
        answer = httpx.post(f"{jobs_url}/bulk", json=[{"number": number}] * 20, timeout=20)
        ids: list[str] = answer.json()["ids"]
        return ids

    post(0)  # such a group starts the process
    started = "committed in a process beside the server"
    own.wait_until(lambda: any(started in one.output() for one in own.programs), 30, "the process")
    jobs = post(1)
    own.wait_for(jobs, Status.SUCCEEDED)
    own.wait_until(lambda: all("after_task_publish" in names(own, job_id) for job_id in jobs), 10, "signals")
    assert {names(own, job_id).count("job_accepted") for job_id in jobs} == {1}


def test_a_programs_own_control_command_is_broadcast_as_in_celery(own: OwnYard) -> None:
    answers: Any = own.app.control.broadcast("greet", {"name": "Ada"}, reply=True, timeout=5, limit=2)
    greetings = [reply["ok"] for answer in answers for reply in answer.values()]
    assert len(greetings) == 2
    assert all(greeting.endswith(" greets Ada") for greeting in greetings)


def test_a_worker_does_not_start_with_a_receiver_of_what_is_never_sent(own: OwnYard) -> None:
    code = (
        "import sys; from celery import signals; from celery.bin.celery import main\n"
        "@signals.before_task_publish.connect\n"
        "def on_publish(**_): ...\n"
        "sys.argv = ['celery', '-q', '-A', 'tasks.app', 'worker', '-P', 'solo']; main()"
    )
    ended = own.run_code(code)
    assert ended.returncode == 1
    assert "on_publish is connected to before_task_publish, which is never sent" in ended.stderr


def test_no_receiver_hears_of_a_message(own: OwnYard) -> None:
    own.wait_for(accept(own), Status.SUCCEEDED)
    lines = (json.loads(line) for line in Path(own.extra[JOURNAL]).read_text().splitlines())
    tasks = {line["task"] for line in lines if line["signal"] not in ("task_unknown", "worker_process_init")}
    assert tasks <= {"signalled.do", "signalled.wait", "signalled.hang", "upkeep.prune"}

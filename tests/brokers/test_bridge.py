"""Messages of stock Celery producers become jobs, on Redis and RabbitMQ; the producer knows Celery alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobyard.jobs.job import Cause, Job, Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import list_jobs
from tests.support.broker import RABBITMQ, REDIS, Broker
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.processes import ROOT
from tests.support.rabbitmq_broker import RabbitMQBroker
from tests.support.redis_broker import RedisBroker

pytestmark = pytest.mark.timeout(180)
PRIORITIES = {"x-max-priority": 10}


@pytest.fixture(scope="module", params=[REDIS, pytest.param(RABBITMQ, marks=pytest.mark.rabbitmq)])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnYard]:
    """A yard with a worker that bridges the stock queues `celery` and `urgent` of its own broker."""
    broker: Broker | None = None
    if request.param == RABBITMQ:
        broker = RabbitMQBroker(request.getfixturevalue("rabbitmq_node"))
    settings = QUICK | {
        "JOBYARD_CELERY__QUEUES": "celery,urgent",
        "JOBYARD_TASKS__MODULES": "tests.support.bad_tasks,tests.support.moved_tasks",
    }
    with opened(tmp_path_factory.mktemp("bridge"), settings, broker) as yard:
        yard.start_worker()
        yield yard


def broker_url(own: OwnYard) -> str:
    return own.settings.get("JOBYARD_BROKER__URL") or own.valkey_url


def stock_program(own: OwnYard, *arguments: str, text: str = "", backend: str | None = None) -> list[str]:
    """Run the program with plain Celery; return what it wrote, by lines."""
    environment = {"STOCK_BROKER": broker_url(own), "PYTHONPATH": str(ROOT), "JOBYARD_ENV_FILE": ""}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBYARD_")}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.stock_celery", *arguments],
        input=text,
        env=inherited | environment | ({"STOCK_BACKEND": backend} if backend else {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.splitlines()


def produce(own: OwnYard, *calls: dict[str, Any]) -> list[str]:
    """Send calls from a program with plain Celery; return the ids that it was told."""
    return stock_program(own, text="\n".join(json.dumps(call) for call in calls))


def deed(own: OwnYard, **order: Any) -> dict[str, Any]:
    return {"name": "bad.deed", "args": [{"journal": str(own.journal), **order}]}


def all_jobs(own: OwnYard) -> list[Job]:
    return list(list_jobs(own.ledger.database, JobFilter(), 500).jobs)


def job_of(own: OwnYard, message_id: str) -> Job | None:
    return next((job for job in all_jobs(own) if job.external_id == message_id), None)


def has_ended(own: OwnYard, message_id: str) -> bool:
    job = job_of(own, message_id)
    return job is not None and job.status.is_final


def wait_for(own: OwnYard, message_id: str, status: Status) -> Job:
    def stands() -> bool:
        job = job_of(own, message_id)
        return job is not None and job.status is status

    own.wait_until(stands, 30, f"message {message_id} to become a job that is {status}")
    job = job_of(own, message_id)
    assert job is not None
    return job


def test_a_stock_call_becomes_a_job_that_runs(own: OwnYard) -> None:
    by_position, by_keyword = produce(
        own,
        deed(own, number=1),
        {"name": "bad.deed", "kwargs": {"order": {"journal": str(own.journal), "number": 2}}},
    )
    for id_, number in ((by_position, 1), (by_keyword, 2)):
        job = wait_for(own, id_, Status.SUCCEEDED)
        assert json.loads(job.payload)["number"] == number


def test_arguments_of_any_form_reach_the_task(own: OwnYard) -> None:
    calls: dict[str, dict[str, Any]] = {
        "5": {"name": "moved.add", "args": [2, 3]},
        "7": {"name": "moved.add", "args": [4], "kwargs": {"y": 3}},
        '"2030ab3"': {
            "name": "moved.tell",
            "moment": "2030-01-31T12:00:00+00:00",  # as Celery's JSON has a date
            "args": ["a", "b"],
            "kwargs": {"one": 1, "two": 2},
        },
    }
    for id_, result in zip(produce(own, *calls.values()), calls, strict=True):
        assert wait_for(own, id_, Status.SUCCEEDED).result == result


def test_countdown_expires_priority_and_id_are_kept(own: OwnYard) -> None:
    sent_at = datetime.now(UTC)
    later, late, urgent, own_id = produce(
        own,
        deed(own) | {"countdown": 3600, "expires": 7200},
        deed(own) | {"expires": -5},
        deed(own) | {"priority": 9},
        deed(own)
        | {"task_id": "order-77/ä b", "headers": {"tenant": "a", "deep": {"not": "kept"}}, "time_limit": 9},
    )
    scheduled = wait_for(own, later, Status.SCHEDULED)
    assert timedelta(minutes=59) < scheduled.run_at - sent_at < timedelta(minutes=61)
    assert scheduled.expires_at is not None
    assert timedelta(minutes=119) < scheduled.expires_at - sent_at < timedelta(minutes=121)
    is_rabbitmq = own.broker.name == RABBITMQ
    if not is_rabbitmq:  # which drops a message that is late by itself
        wait_for(own, late, Status.EXPIRED)
    assert wait_for(own, urgent, Status.SUCCEEDED).priority == (9 if is_rabbitmq else 0)
    assert own_id == "order-77/ä b"
    job = wait_for(own, own_id, Status.SUCCEEDED)
    assert job.headers == {"tenant": "a"}
    assert job.soft_time_limit is not None
    assert job.time_limit is not None
    assert job.soft_time_limit < job.time_limit


def test_a_message_that_comes_again_is_accepted_once(own: OwnYard) -> None:
    call = deed(own) | {"task_id": "the-same"}
    produce(own, call, call, call)
    wait_for(own, "the-same", Status.SUCCEEDED)
    produce(own, call, deed(own) | {"task_id": "the-last"})
    wait_for(own, "the-last", Status.SUCCEEDED)
    assert len([job for job in all_jobs(own) if job.external_id == "the-same"]) == 1


def test_arguments_that_do_not_fit_are_a_dead_letter_with_the_message(own: OwnYard) -> None:
    before = own.fault_count(FaultKind.FOREIGN_MESSAGE)
    several, wrong = produce(
        own, {"name": "bad.deed", "args": [1, "two", None]}, {"name": "bad.deed", "args": [{"then": "fly"}]}
    )
    job = wait_for(own, several, Status.DEAD)
    assert job.failure is not None
    assert job.failure.cause is Cause.FOREIGN_MESSAGE
    assert json.loads(job.payload)["celery_message"]["body"][0] == [1, "two", None]
    failure = wait_for(own, wrong, Status.DEAD).failure
    assert failure is not None
    assert "'fly'" in failure.message
    own.wait_until(lambda: own.fault_count(FaultKind.FOREIGN_MESSAGE) == before + 2, 5, "both to be counted")


def test_pickles_and_parts_of_workflows_are_dead_letters_and_never_run(own: OwnYard) -> None:
    link: dict[str, Any] = {"task": "bad.deed", "args": [], "kwargs": {}, "options": {}, "subtask_type": None}
    pickled, linked = produce(own, deed(own) | {"serializer": "pickle"}, deed(own) | {"link": [link]})
    for id_, words in ((pickled, "never read"), (linked, "link=")):
        failure = wait_for(own, id_, Status.DEAD).failure
        assert failure is not None
        assert failure.cause is Cause.FOREIGN_MESSAGE
        assert words in failure.message


def test_a_stock_producer_asks_how_its_jobs_ended(own: OwnYard) -> None:
    sent = produce(
        own,
        {"name": "moved.add", "args": [2, 3]},
        {"name": "moved.fail", "args": ["no such fruit"]},
        {"name": "moved.add", "args": ["two"]},
        {"name": "moved.size", "filler_bytes": 1},
        {"name": "moved.add", "args": [1], "countdown": 3600},
    )
    wait_for(own, sent[-1], Status.SCHEDULED)
    own.wait_until(lambda: all(has_ended(own, id_) for id_ in sent[:-1]), 20, "four ends")
    scheduled = job_of(own, sent[-1])
    assert scheduled is not None
    own.ledger.cancel(scheduled.id)
    backend = f"jobyard+sqlite:///{own.home / 'jobyard.db'}"
    ends = [json.loads(line) for line in stock_program(own, *sent, "no-such-id", backend=backend)]
    assert (ends[0]["state"], ends[0]["result"]) == ("SUCCESS", 5)
    assert ends[1]["state"] == "FAILURE"
    assert ends[1]["result"].startswith("builtins.KeyError: ")
    assert "no such fruit" in ends[1]["traceback"]
    assert ends[2]["state"] == "FAILURE"
    assert "moved.add" in ends[2]["result"]
    assert (ends[3]["state"], ends[3]["result"]) == ("SUCCESS", 1)
    assert ends[4]["state"] == "REVOKED"
    assert (ends[5]["state"], "TimeoutError" in ends[5]["result"]) == ("PENDING", True)


def test_ten_megabytes_of_arguments_run(own: OwnYard) -> None:
    [id_] = produce(own, {"name": "moved.size", "filler_bytes": 10 * 1024 * 1024})
    job = wait_for(own, id_, Status.SUCCEEDED)
    assert job.payload.startswith("@")  # in the file store
    assert job.result == str(10 * 1024 * 1024)


def test_an_unknown_task_waits_for_a_worker_that_knows_it(own: OwnYard) -> None:
    [id_] = produce(own, {"name": "of.tomorrow", "args": [1, 2], "kwargs": {"three": 3}})
    wait_for(own, id_, Status.QUEUED)

    def is_put_off() -> bool:
        job = job_of(own, id_)
        return job is not None and job.failure is not None and job.failure.cause is Cause.UNKNOWN_TASK

    own.wait_until(is_put_off, 20, "a worker to put it off")
    wait_for(own, id_, Status.QUEUED)


def test_what_is_no_message_is_counted_and_ends_nobody(own: OwnYard) -> None:
    before = own.fault_count(FaultKind.BAD_MESSAGE)
    [first] = produce(own, deed(own))  # on RabbitMQ the queue exists from now on
    wait_for(own, first, Status.SUCCEEDED)
    for rubbish in (b"rubbish", b"[" * 100_000, b"{}"):
        if isinstance(own.broker, RedisBroker):
            own.redis.lpush("celery", rubbish)
        elif isinstance(own.broker, RabbitMQBroker):
            own.broker.push_to("celery", rubbish)
    [id_] = produce(own, deed(own))
    wait_for(own, id_, Status.SUCCEEDED)
    own.wait_until(lambda: own.fault_count(FaultKind.BAD_MESSAGE) == before + 3, 20, "three to be counted")


def test_every_message_arrives_though_a_bridge_is_killed(own: OwnYard) -> None:
    other = own.start_worker()
    ids = produce(own, *(deed(own) for _ in range(300)))
    other.kill()

    def have_all_ended() -> bool:
        jobs = {job.external_id: job for job in all_jobs(own)}
        found = [jobs.get(id_) for id_ in ids]
        return all(job is not None and job.status is Status.SUCCEEDED for job in found)

    own.wait_until(have_all_ended, 60, "300 jobs to succeed")

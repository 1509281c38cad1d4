"""Workers under orders: asked, grown, shrunk, turned to other queues and stopped, on each broker that can."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from socket import gethostname
from typing import Any

import httpx
import pytest

from jobyard.broker.revoke import GOES_ON
from jobyard.jobs.job import Status
from jobyard.jobs.ledger.interventions import interventions
from jobyard.jobs.reading.living_workers import list_workers
from tests.support.broker import RABBITMQ, REDIS
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.processes import Program
from tests.support.rabbitmq_broker import RabbitMQBroker
from tests.support.rabbitmq_node import RabbitMQNode
from tests.support.sqs_broker import SqsBroker

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=[REDIS, pytest.param(RABBITMQ, marks=pytest.mark.rabbitmq)])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnYard]:
    """A yard with a worker on threads and one on child processes."""
    broker = None if request.param == REDIS else RabbitMQBroker(request.getfixturevalue("rabbitmq_node"))
    with opened(tmp_path_factory.mktemp("yard"), dict(QUICK), broker) as yard:
        yard.start_worker("threads", 2, "default,email,collect")
        yard.start_worker("prefork", 2, "images")
        yield yard


def celery(own: OwnYard, *words: str) -> Any:
    """Return what workers answered to a `celery` command."""
    done = own.run("celery", "-q", "-A", "tasks.app", *words, "-j")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def worker_on(own: OwnYard, pool: str) -> Program:
    return next(program for program in own.programs if program.name == f"worker-{pool}")


def address(own: OwnYard, worker: Program) -> str:
    """Return the name by which a worker is given orders."""
    return f"{worker.name.removeprefix('worker-')}{own.programs.index(worker)}@{gethostname()}"


def concurrencies(own: OwnYard) -> set[int]:
    return {worker.concurrency for worker in list_workers(own.ledger.database, timedelta(minutes=1))}


def pool_size(own: OwnYard, name: str) -> int:
    asked: Any = own.app.control.inspect([name], timeout=5, limit=1).stats()
    return len(asked[name]["pool"]["processes"])


def test_every_worker_answers_a_ping(own: OwnYard) -> None:
    answers = celery(own, "inspect", "ping", "-t", "3")
    workers = [worker_on(own, "prefork"), worker_on(own, "threads")]
    assert sorted(answers) == [address(own, worker) for worker in workers]
    assert all(answer == {"ok": "pong"} for answer in answers.values())


def test_processes_are_added_and_taken_away(own: OwnYard) -> None:
    name = address(own, worker_on(own, "prefork"))
    celery(own, "control", "pool_grow", "2", "-d", name)
    own.wait_until(lambda: pool_size(own, name) == 4, 20, "the pool to grow")
    own.wait_until(lambda: 4 in concurrencies(own), 20, "the ledger to hear of it")
    celery(own, "control", "pool_shrink", "3", "-d", name)
    own.wait_until(lambda: pool_size(own, name) == 1, 20, "the pool to shrink")
    own.wait_for(own.hand_in(how_many=3, queue="images"), Status.SUCCEEDED)


def test_a_queue_is_left_and_served_again(own: OwnYard) -> None:
    name = address(own, worker_on(own, "threads"))
    celery(own, "control", "cancel_consumer", "email", "-d", name)
    own.wait_until(lambda: "email" not in served(own, name), 20, "the queue to be left")
    waiting = own.hand_in(how_many=3, queue="email")
    own.wait_for(own.hand_in(how_many=3), Status.SUCCEEDED)
    assert {job.status for job in own.jobs(waiting)} == {Status.QUEUED}
    celery(own, "control", "add_consumer", "email", "-d", name)
    own.wait_for(waiting, Status.SUCCEEDED)


@pytest.mark.rabbitmq
def test_a_queue_in_two_bands_is_left_and_served_as_one(tmp_path: Path, rabbitmq_node: RabbitMQNode) -> None:
    quorum = {"JOBYARD_BROKER__QUEUE_TYPE": "quorum"}
    with opened(tmp_path, QUICK | quorum, RabbitMQBroker(rabbitmq_node)) as own:
        name = address(own, own.start_worker("threads", 2, "default,email"))
        own.app.control.cancel_consumer("email", destination=[name])
        left = {"jobyard.default.usual", "jobyard.default.urgent"}
        own.wait_until(lambda: served(own, name) == left, 20, "it to be left")
        own.app.control.add_consumer("email", destination=[name])
        jobs = [*own.hand_in(queue="email", priority=0), *own.hand_in(queue="email", priority=9)]
        own.wait_for(jobs, Status.SUCCEEDED)


def test_a_queue_that_does_not_exist_is_refused(own: OwnYard) -> None:
    name = address(own, worker_on(own, "threads"))
    answers: Any = own.app.control.add_consumer("emial", destination=[name], reply=True, timeout=5, limit=1)
    assert "no queue 'emial'; the queues are: collect, default, email, images." in answers[0][name]["error"]


def served(own: OwnYard, name: str) -> set[str]:
    asked: Any = own.app.control.inspect([name], timeout=5, limit=1).active_queues()
    return {queue["name"] for queue in asked[name]}


def test_a_revoked_job_is_cancelled_in_the_ledger_and_its_message_runs_nothing(own: OwnYard) -> None:
    """Revoked by a stock Celery application, whose broadcast reaches every worker."""
    name = address(own, worker_on(own, "threads"))
    celery(own, "control", "cancel_consumer", "email", "-d", name)
    own.wait_until(lambda: "email" not in served(own, name), 20, "the queue to be left")
    [revoked, other] = own.hand_in(how_many=2, queue="email")
    own.wait_until(lambda: len(own.sent("email")) == 2, 20, "the messages to be there")
    answers: Any = own.app.control.revoke(revoked, terminate=True, reply=True, timeout=5, limit=2)
    texts = {text for answer in answers for reply in answer.values() for text in reply.values()}
    assert texts <= {f"job {revoked} is cancelled", f"job {revoked} has ended already: cancelled"}
    celery(own, "control", "add_consumer", "email", "-d", name)
    own.wait_for([other], Status.SUCCEEDED)
    assert own.job(revoked).status is Status.CANCELLED
    assert revoked not in {job_id for job_id, _ in own.runs()}
    assert [one.actor for one in interventions(own.ledger.database, revoked)] == ["control"]


def test_revoking_what_runs_says_that_it_goes_on(own: OwnYard) -> None:
    [job_id] = own.hand_in("sleep", seconds=3)
    own.wait_to_begin(job_id)
    [reply] = celery(
        own, "control", "terminate", "KILL", job_id, "-d", address(own, worker_on(own, "threads"))
    )
    assert [answer["error"] for answer in reply.values()] == [f"job {job_id} runs: {GOES_ON}"]
    own.wait_for([job_id], Status.SUCCEEDED)


def test_inspect_names_each_job_that_runs_or_waits_for_its_time_once(own: OwnYard) -> None:
    [running], [later] = own.hand_in("sleep", seconds=4), own.hand_in(delay=timedelta(hours=1))
    own.wait_to_begin(running)
    inspect: Any = own.app.control.inspect(timeout=5, limit=2)
    [shown] = [job for jobs in inspect.active().values() for job in jobs if job["id"] == running]
    assert (shown["name"], shown["kwargs"]["then"]) == ("bad.deed", "sleep")
    assert shown["hostname"] == address(own, worker_on(own, "threads"))
    assert shown["worker_pid"] == worker_on(own, "threads").process.pid
    scheduled = [entry["request"]["id"] for jobs in inspect.scheduled().values() for entry in jobs]
    assert scheduled.count(later) == 1
    asked = inspect.query_task(running, later)
    assert {job_id: kind for jobs in asked.values() for job_id, (kind, _) in jobs.items()} == {
        running: "active",
        later: "scheduled",
    }


@pytest.mark.parametrize("order", ["rate_limit", "time_limit"])
def test_limits_that_would_be_one_workers_own_are_refused(own: OwnYard, order: str) -> None:
    arguments: Any = {"rate_limit": ("bad.deed", "1/m"), "time_limit": ("bad.deed", 1, 2)}[order]
    answers = getattr(own.app.control, order)(*arguments, reply=True, timeout=5, limit=2)
    errors = [reply["error"] for answer in answers for reply in answer.values()]
    assert len(errors) == 2
    assert all("jobs are in the ledger" in error for error in errors)


def test_purge_is_refused_with_the_way_out(own: OwnYard) -> None:
    done = own.run("celery", "-q", "-A", "tasks.app", "purge", "-f")
    assert done.returncode == 1
    assert "jobs are in the ledger" in done.stderr
    assert "POST /v1/jobs/ID/cancel" in done.stderr


def test_the_ledger_names_the_workers_whatever_the_broker_is(own: OwnYard) -> None:
    own.start_api()
    known = httpx.get(f"http://127.0.0.1:{own.port('API')}/v1/workers").json()
    live = {worker["name"] for worker in known if worker["is_live"]}
    assert live >= {address(own, worker_on(own, pool)) for pool in ("prefork", "threads")}


def test_a_worker_that_is_told_to_shut_down_ends(own: OwnYard) -> None:
    worker = own.start_worker("threads", 1, "collect")
    # It is ready a moment before it hears, and an order is not kept for it.
    own.wait_until(lambda: own.app.control.ping([address(own, worker)]), 20, "the worker to hear")
    own.app.control.shutdown([address(own, worker)])  # to which Celery sends no answer
    own.wait_until(lambda: worker.process.poll() is not None, 20, "the worker to end")
    assert worker.process.returncode == 0


@pytest.fixture
def on_sqs(tmp_path: Path) -> Iterator[OwnYard]:
    with opened(tmp_path, dict(QUICK), SqsBroker(tmp_path)) as yard:
        yield yard


@pytest.mark.parametrize("words", [["inspect", "ping"], ["control", "shutdown"], ["status"]])
def test_on_sqs_nobody_waits_for_answers_that_cannot_come(on_sqs: OwnYard, words: list[str]) -> None:
    done = on_sqs.run("celery", "-q", "-A", "tasks.app", *words)
    assert done.returncode != 0
    assert "SQS carries neither the events of workers nor control commands to them" in done.stderr
    assert "GET /v1/workers" in done.stderr
    assert "Traceback" not in done.stderr


def test_on_sqs_flower_does_not_start_and_says_why(on_sqs: OwnYard) -> None:
    done = on_sqs.run("celery", "-q", "-A", "tasks.app", "flower", "--conf=jobyard/broker/flower.py")
    assert done.returncode != 0
    assert "Flower does not start: SQS carries neither the events of workers" in done.stderr
    assert "Traceback" not in done.stderr

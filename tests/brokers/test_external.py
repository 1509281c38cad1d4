"""Jobs that a stock Celery worker runs: sent from the ledger, and settled by the answer in its backend."""

from collections.abc import Iterator

import pytest

from jobyard.jobs.job import Cause, NewJob, Status, new_id
from tests.support.broker import RABBITMQ, REDIS, Broker
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.processes import Program
from tests.support.rabbitmq_broker import RabbitMQBroker

pytestmark = pytest.mark.timeout(180)
# What the stock worker serves: queues of its own, and some that are called as ours.
QUEUES = "celery,default,email"


@pytest.fixture(scope="module", params=[REDIS, pytest.param(RABBITMQ, marks=pytest.mark.rabbitmq)])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnYard]:
    """A yard whose external tasks are run by a stock worker on its own broker."""
    broker: Broker | None = None
    if request.param == RABBITMQ:
        broker = RabbitMQBroker(request.getfixturevalue("rabbitmq_node"))
    home = tmp_path_factory.mktemp("external")
    settings = QUICK | {
        "JOBYARD_TASKS__MODULES": "tests.support.bad_tasks,tests.support.external_tasks",
    }
    with opened(home, settings, broker) as yard:
        answers = home / "answers"
        answers.mkdir()
        backend = f"file://{answers}" if broker else yard.valkey_url
        yard.settings["JOBYARD_CELERY__RESULT_BACKEND"] = backend
        start_stock_worker(yard)
        yard.start_worker()
        yield yard


def start_stock_worker(own: OwnYard) -> Program:
    """Start a worker of plain Celery on the yard's broker."""
    own.extra |= {
        "STOCK_BROKER": own.settings.get("JOBYARD_BROKER__URL") or own.valkey_url,
        "STOCK_BACKEND": own.settings["JOBYARD_CELERY__RESULT_BACKEND"],
    }
    command = (
        "celery",
        "-A",
        "tests.support.stock_celery",
        "worker",
        "-P",
        "solo",
        "-l",
        "INFO",
        "-Q",
        QUEUES,
    )
    worker = own.start("stock-worker", *command, "-n", "stock@%h", "--without-gossip", "--without-mingle")
    own.wait_until(lambda: " ready." in worker.output(), 40, "the stock worker")
    return worker


def hand_in(own: OwnYard, task: str, payload: str) -> str:
    new = NewJob(id=new_id(), task=task, payload=payload, max_attempts=1)
    return own.ledger.accept([new])[0].job_id


def test_a_stock_worker_runs_a_job_and_its_end_is_recorded(own: OwnYard) -> None:
    added = hand_in(own, "old.add", '{"args": [2], "kwargs": {"y": 3}}')
    failed = hand_in(own, "old.fail", '{"args": ["no bread"]}')
    wrong = hand_in(own, "old.say", '{"args": ["five"]}')
    own.wait_for([added], Status.SUCCEEDED)
    assert own.job(added).result == "5"
    own.wait_for([failed, wrong], Status.DEAD)
    failure = own.job(failed).failure
    assert failure is not None
    assert (failure.cause, failure.type, failure.message) == (Cause.EXCEPTION, "ValueError", "no bread")
    refused = own.job(wrong).failure
    assert refused is not None
    assert refused.cause is Cause.RESULT_REFUSED
    # Sent in the first attempt, recorded in the second, and nothing in between.
    assert own.job(added).attempt == 2


def test_a_job_that_nobody_answers_is_dead_with_the_cause(own: OwnYard) -> None:
    job_id = hand_in(own, "old.nobody", '{"args": []}')
    if own.broker.name == RABBITMQ:
        # There is no such queue: it is sent again, until there is one.
        own.wait_until(lambda: own.job(job_id).failure is not None, 20, "an attempt to send it")
        failure = own.job(job_id).failure
        assert failure is not None
        assert failure.cause is Cause.RETRY_LATER
        return
    own.wait_for([job_id], Status.DEAD)
    failure = own.job(job_id).failure
    assert failure is not None
    assert failure.cause is Cause.EXTERNAL_NO_ANSWER


def test_a_replayed_job_is_sent_again(own: OwnYard) -> None:
    job_id = hand_in(own, "old.fail", '{"args": ["once"]}')
    own.wait_for([job_id], Status.DEAD)
    stock = next(program for program in own.programs if program.name == "stock-worker")
    assert stock.output().count(f"[{job_id}] received") == 1
    own.ledger.replay(job_id)
    own.wait_until(lambda: stock.output().count(f"[{job_id}] received") == 2, 30, "a second message")
    own.wait_for([job_id], Status.DEAD)


def test_a_stock_worker_of_queues_with_our_names_takes_none_of_our_messages(own: OwnYard) -> None:
    jobs = [
        *own.hand_in(how_many=10, priority=9),
        *own.hand_in(how_many=10, priority=9, queue="email"),
        *own.hand_in(how_many=10),
    ]
    own.wait_for(jobs, Status.SUCCEEDED)
    stock = next(program for program in own.programs if program.name == "stock-worker")
    assert "bad.deed" not in stock.output()
    assert {job.publish_count for job in own.jobs(jobs)} <= {0, 1}


def test_jobs_whose_messages_lie_under_another_name_are_published_again(own: OwnYard) -> None:
    # As after an upgrade from a version whose queues had other names.
    jobs = own.hand_in(how_many=3)
    own.ledger.mark_published(jobs)
    own.wait_for(jobs, Status.SUCCEEDED)

"""Messages that are ahead of their rows: early, in vain, refused, on a connection that was cut."""

import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from time import sleep

import httpx
import pytest

from jobyard.broker.accept_and_publish import LONGEST_COMMIT_SECONDS
from jobyard.jobs.job import Status
from tests.support.own_yard import OwnYard

pytestmark = pytest.mark.timeout(180)

# So long that no keeper does what the publisher should have done.
LATE = {"JOBYARD_KEEPER__UNSENT_AFTER": "100", "JOBYARD_KEEPER__RESEND_AFTER": "100"}


@pytest.fixture
def warm(own: OwnYard) -> OwnYard:
    """A yard whose API has sent a message, and so has a connection open for early ones."""
    own.settings |= LATE
    return made_ready(own)


def made_ready(own: OwnYard) -> OwnYard:
    own.start_api()
    first = post(own).json()["id"]
    own.wait_until(lambda: own.job(first).published_at is not None, 10, "the first job to be published")
    own.redis.flushall()
    return own


def post(own: OwnYard) -> httpx.Response:
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    return httpx.post(url, json={"then": "return", "journal": str(own.journal)}, timeout=30)


@contextmanager
def nothing_can_be_written(own: OwnYard) -> Iterator[None]:
    """Hold SQLite's write lock."""
    with closing(sqlite3.connect(own.home / "jobyard.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def being_accepted(own: OwnYard) -> Iterator["Future[httpx.Response]"]:
    """Hand a job in, and give what will be the answer when the message about it is there, and no row."""
    with ThreadPoolExecutor(1) as thread, nothing_can_be_written(own):
        before = len(own.everything())
        answer = thread.submit(post, own)
        own.wait_until(lambda: own.broker.depth() == 1, 10, "the message")
        assert len(own.everything()) == before
        assert not answer.done()
        yield answer


def test_a_message_is_on_its_way_before_the_row_is_and_is_sent_again_when_that_took_long(
    warm: OwnYard,
) -> None:
    with being_accepted(warm) as answer:
        sleep(2 * LONGEST_COMMIT_SECONDS)
    job_id = answer.result(10).json()["id"]
    warm.wait_until(lambda: warm.sent() == [job_id, job_id], 10, "the second message")
    warm.start_worker()
    warm.wait_for([job_id], Status.SUCCEEDED)
    warm.check_invariant([job_id])
    assert warm.job(job_id).attempt == 1


def test_a_job_whose_message_a_worker_took_too_early_is_published_again(warm: OwnYard) -> None:
    api = next(program for program in warm.programs if program.name == "api")
    with ThreadPoolExecutor(1) as thread:
        with nothing_can_be_written(warm):
            answer = thread.submit(post, warm)
            warm.wait_until(lambda: warm.broker.depth() == 1, 10, "the message")
            api.kill(signal.SIGSTOP)
        worker = warm.start_worker()
        warm.wait_until(lambda: "message claimed nothing" in worker.output(), 20, "the worker to give up")
        api.kill(signal.SIGCONT)
        job_id = answer.result(10).json()["id"]
    warm.wait_for([job_id], Status.SUCCEEDED, 10)
    warm.check_invariant([job_id])


def test_a_message_whose_job_was_refused_claims_nothing(own: OwnYard) -> None:
    own.settings |= LATE | {"JOBYARD_LEDGER__BUSY_TIMEOUT": "0.5"}
    made_ready(own)
    with being_accepted(own) as answer:
        assert answer.result(10).status_code == 503
    assert len(own.everything()) == 1
    worker = own.start_worker()
    own.wait_until(lambda: own.broker.depth() == 0, 10, "the message to be taken")
    job_ids = [post(own).json()["id"] for _ in range(3)]
    own.wait_for(job_ids, Status.SUCCEEDED, 10)
    own.check_invariant(job_ids)
    assert len(own.everything()) == 4
    assert "message claimed nothing" in worker.output()


def test_an_early_message_goes_where_the_workers_of_this_yard_listen(own: OwnYard) -> None:
    own.settings |= LATE | {"JOBYARD_REDIS__PREFIX": "shop:"}
    made_ready(own)
    with ThreadPoolExecutor(1) as thread, nothing_can_be_written(own):
        answer = thread.submit(post, own)
        own.wait_until(lambda: list(own.redis.scan_iter("shop:jobyard:default*")), 10, "the message")
        assert not answer.done()
    job_id = answer.result(10).json()["id"]
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED, 10)
    assert own.redis.dbsize() == len(list(own.redis.scan_iter("shop:*"))), "nothing is anybody else's"


@pytest.mark.parametrize("fault", ["restart", "reset_connections"])
def test_a_connection_that_was_cut_while_it_was_idle_costs_no_time(warm: OwnYard, fault: str) -> None:
    warm.start_worker()
    getattr(warm.broker, fault)()
    sleep(0.1)
    job_ids = [post(warm).json()["id"] for _ in range(3)]
    warm.wait_for(job_ids, Status.SUCCEEDED, 10)
    warm.check_invariant(job_ids)


def test_a_message_that_was_refused_is_sent_again(own: OwnYard) -> None:
    own.settings["JOBYARD_KEEPER__RESEND_AFTER"] = "100"  # of what is taken for sent
    made_ready(own)
    own.broker.fill_up()
    job_ids = []
    for _ in range(3):
        job_ids.append(post(own).json()["id"])
        sleep(0.05)
    sleep(1)  # longer than until what was sent is written down
    assert [own.job(job_id).published_at for job_id in job_ids] == [None] * 3
    own.broker.relieve()
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED, 20)
    own.check_invariant(job_ids)


def test_with_early_messages_switched_off_none_is_ahead_of_its_row(own: OwnYard) -> None:
    own.settings |= {"JOBYARD_BROKER__EARLY": "false"}
    made_ready(own)
    with ThreadPoolExecutor(1) as thread:
        with nothing_can_be_written(own):
            answer = thread.submit(post, own)
            sleep(0.5)
            assert own.broker.depth() == 0
        job_id = answer.result(10).json()["id"]
    own.wait_until(lambda: own.sent() == [job_id], 10, "the message")
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED, 10)

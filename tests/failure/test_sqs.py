"""What holds on SQS as on every broker: nothing accepted is lost, and no answer or message ends a worker."""

import json
import signal
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.sqs_broker import SqsBroker

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def sqs(tmp_path: Path) -> SqsBroker:
    return SqsBroker(tmp_path)


@pytest.fixture
def own(tmp_path: Path, sqs: SqsBroker) -> Iterator[OwnYard]:
    with opened(tmp_path, dict(QUICK), sqs) as yard:
        yield yard


def post(own: OwnYard, then: str = "return", seconds: float = 0, **options: str) -> str:
    """Hand a job in over HTTP, which has to answer at once whatever the broker does."""
    order = {"then": then, "seconds": seconds, "journal": str(own.journal)}
    address = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    answer = httpx.post(address, json=order, params=options, timeout=1.0)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def get(own: OwnYard, path: str) -> Any:
    return httpx.get(f"http://127.0.0.1:{own.port('API')}{path}", timeout=20).json()


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_jobs_run_retry_wait_and_die_as_on_every_broker(own: OwnYard, sqs: SqsBroker, pool: str) -> None:
    own.start_api()
    own.start_worker(pool, 2)
    plain = [post(own), post(own, priority="9"), *own.hand_in(how_many=3), post(own, queue="images")]
    later, again, dead = post(own, delay="1"), post(own, "fail_once"), post(own, "raise")
    own.wait_for([*plain, later, again], Status.SUCCEEDED)
    own.wait_for([dead], Status.DEAD)
    assert own.job(again).attempt == 2
    own.wait_until(lambda: sqs.in_flight() == 0, 20, "the messages to go")
    assert own.depths()["default"] == 0
    assert [(worker["pool"], worker["is_live"]) for worker in get(own, "/v1/workers")] == [
        ({"threads": "thread"}.get(pool, pool), True)
    ]


def test_a_backlog_goes_out_ten_in_a_request_and_is_counted(own: OwnYard, sqs: SqsBroker) -> None:
    own.start_api()
    job_ids = own.hand_in(how_many=43)
    own.publish([job_ids[0]])  # connects, and makes the queue
    requests_before = sqs.requests()
    with own.app.producer_pool.acquire(block=True) as producer:
        pool_member: Any = producer  # `batch` is newer than the stubs
        with pool_member.batch(100):
            for job_id in job_ids[1:]:
                own.app.send_task("bad.deed", args=[[job_id]], queue="default", producer=producer)
    assert sqs.requests() - requests_before < 10
    assert sqs.depth() == 43
    assert own.depths()["default"] == 43
    own.start_worker("threads", 4)
    own.wait_for(job_ids, Status.SUCCEEDED)


def test_a_worker_that_is_killed_costs_its_jobs_an_attempt_and_no_more(own: OwnYard) -> None:
    worker = own.start_worker()
    job_ids = own.hand_in("sleep", 4, seconds=1.5)
    own.wait_to_begin(job_ids[0])
    worker.kill()
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    own.check_invariant(job_ids)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_sqs_that_is_away_and_comes_back_with_nothing_loses_no_job(
    own: OwnYard, sqs: SqsBroker, pool: str
) -> None:
    own.start_api()
    worker = own.start_worker(pool, 2)
    job_ids = [post(own, "sleep", 0.5) for _ in range(8)]
    own.wait_to_begin(job_ids[0])
    sqs.kill()
    job_ids += [post(own) for _ in range(5)]
    own.wait_until(lambda: "SQS gave no messages" in worker.output(), 20, "the worker to notice")
    sqs.start()
    job_ids += [post(own, "fail_once")]
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    own.check_invariant(job_ids)
    assert worker.process.poll() is None


def test_a_queue_that_somebody_deletes_is_made_anew_by_who_polls_it(own: OwnYard, sqs: SqsBroker) -> None:
    worker = own.start_worker()
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    sqs.delete_queue()
    own.wait_for(own.hand_in(how_many=2), Status.SUCCEEDED)
    assert worker.process.poll() is None


def test_a_queue_that_somebody_deletes_is_made_anew_by_who_publishes(own: OwnYard, sqs: SqsBroker) -> None:
    own.start_api()
    job_ids = [post(own)]
    own.wait_until(lambda: sqs.depth() == 1, 20, "the message")
    sqs.delete_queue()
    job_ids.append(post(own))
    own.wait_until(lambda: sqs.depth() == 1, 20, "the next message")
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)


def test_a_silent_sqs_holds_up_no_request_and_no_stop(own: OwnYard, sqs: SqsBroker) -> None:
    own.start_api()
    worker, other = own.start_worker(), own.start_worker("prefork", 1)
    job_ids = [post(own, "sleep", 1) for _ in range(4)]
    own.wait_to_begin(job_ids[0])
    sqs.kill(signal.SIGSTOP)
    job_ids += [post(own) for _ in range(5)]
    own.wait_until(lambda: "not published" in worker.output(), 20, "the keeper to notice")
    assert other.stop(20) in (0, 1)
    sqs.kill(signal.SIGCONT)
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    own.check_invariant(job_ids)
    assert worker.process.poll() is None


def test_a_worker_that_starts_before_sqs_says_so_and_works_when_it_is_there(
    own: OwnYard, sqs: SqsBroker
) -> None:
    sqs.kill()
    worker = own.start_worker()
    own.wait_until(lambda: "Could not connect to the endpoint URL" in worker.output(), 20, "it to say so")
    assert "s/cret" not in worker.output()
    assert "s%2Fcret" not in worker.output()
    sqs.start()
    own.wait_for(own.hand_in(how_many=2), Status.SUCCEEDED)


def test_a_worker_that_waits_for_messages_ends_when_it_is_told_to(own: OwnYard) -> None:
    workers = [own.start_worker("threads", 2), own.start_worker("prefork", 1)]
    own.wait_for(own.hand_in(how_many=2), Status.SUCCEEDED)
    assert [worker.stop(10) for worker in workers] == [0, 0]


def test_a_message_that_comes_twice_runs_nothing_twice(own: OwnYard, sqs: SqsBroker) -> None:
    [job_id] = own.hand_in("sleep", seconds=1)
    for _ in range(3):
        own.publish([job_id])
    own.start_worker()
    own.wait_for([job_id, *own.hand_in()], Status.SUCCEEDED)
    own.wait_until(lambda: sqs.depth() + sqs.in_flight() == 0, 20, "the copies to be deleted")
    assert own.runs().count((job_id, 1)) == 1
    assert own.job(job_id).attempt == 1


def rubbish() -> dict[str, str]:
    """Return what is no message of ours, from what is no JSON to what asks for too much."""
    body = [[["01890a5d-ac96-774b-bcce-b302099a8057"]], {"x": 1}, {"callbacks": [{"task": "no.such"}]}]
    right = {
        "body": b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "bad.deed", "id": "01890a5d-ac96-774b-bcce-b302099a8057"},
        "properties": {"body_encoding": "base64", "delivery_info": {}, "delivery_tag": "x"},
    }
    return {
        "words": "rubbish",
        "an object": "{}",
        "a list": "[1]",
        "a long number": "9" * 5000,
        "deep": "[" * 100_000,
        "base64 of nothing": b64encode(b"\x80\xff").decode(),
        "properties a number": json.dumps(right | {"properties": 5}),
        "info a text": json.dumps(right | {"properties": {"delivery_info": "x"}}),
        "body no base64": json.dumps(right | {"body": "$$$"}),
        "headers a list": json.dumps(right | {"headers": [1]}),
        "more than ours": json.dumps(right),
        "task a list": json.dumps(right | {"headers": {"task": ["a"], "id": [1]}}),
        "another type": json.dumps(right | {"content-type": "application/x-python-serialize"}),
    }


def is_counted(own: OwnYard, times: int) -> bool:
    return own.fault_count(FaultKind.BAD_MESSAGE) >= times


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_message_that_is_none_is_deleted_and_counted_and_ends_nobody(
    own: OwnYard, sqs: SqsBroker, pool: str
) -> None:
    worker = own.start_worker(pool, 2)
    for number, (name, message) in enumerate(rubbish().items(), 1):
        sqs.push_bytes(message.encode())
        own.wait_until(partial(is_counted, own, number), 10, f"{name} to be counted")
        assert worker.process.poll() is None, name
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert own.fault_count(FaultKind.BAD_MESSAGE) == len(rubbish())
    own.wait_until(lambda: sqs.in_flight() == 0, 10, "everything to be deleted")
    assert sqs.depth() == 0

"""A broker that is killed, forgets, fills up, falls silent or is far away (rows 9 to 19 of the matrix)."""

import signal
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import httpx
import pytest

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from tests.support.broker import on_every_broker, on_redis_alone
from tests.support.own_yard import OwnYard
from tests.support.processes import Program
from tests.support.proxy import Proxy, proxy_to

pytestmark = pytest.mark.timeout(180)


def post(own: OwnYard, then: str = "return", seconds: float = 0) -> str:
    """Hand a job in over HTTP, which has to answer at once whatever the broker does."""
    order = {"then": then, "seconds": seconds, "journal": str(own.journal)}
    answer = httpx.post(f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs", json=order, timeout=1.0)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@on_every_broker
def test_row_9_idle_workers_outlive_a_broker_that_is_killed(own: OwnYard, own_worker: Program) -> None:
    own.broker.restart()
    own.wait_for(own.hand_in(how_many=3), Status.SUCCEEDED)
    assert own_worker.process.poll() is None


@on_every_broker
def test_row_10_running_and_delayed_jobs_outlive_it_too(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    job_ids = [post(own, "sleep", 1.5) for _ in range(8)]
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own.broker.restart()
    job_ids += own.hand_in("fail_once", max_attempts=2)
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)
    assert own_worker.process.poll() is None


@on_every_broker
def test_row_11_everything_in_the_broker_is_lost_under_load(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    job_ids = own.hand_in("sleep", 600, seconds=0.01)
    own.wait_until(lambda: len(own.runs()) > 20, 20, "the work to begin")
    own.broker.forget_everything()
    job_ids += [post(own) for _ in range(20)]
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    own.check_invariant(job_ids)


@on_every_broker
def test_row_11_urgent_jobs_whose_messages_are_lost_do_not_wait_behind_a_backlog(
    own: OwnYard, own_worker: Program
) -> None:
    backlog = own.hand_in("sleep", 900, seconds=0.3, priority=0)  # more than a minute of work
    own.wait_until(lambda: len(own.runs()) > 4, 20, "the work to begin")
    urgent = [job_id for priority in (9, 4) for job_id in own.hand_in(how_many=5, priority=priority)]
    own.ledger.mark_published(urgent)  # and no broker has a message of them
    own.wait_for(urgent, Status.SUCCEEDED, 50)
    rest = own.jobs(backlog)
    assert max(job.publish_count for job in rest) == 1
    assert any(job.status is Status.QUEUED for job in rest)


def file_with(own: OwnYard, job_id: str) -> Path:
    """Return the one file in which the broker keeps what waits in the queues of this yard."""
    files = (path for path in own.broker.folder.rglob("*") if path.is_file())
    [path] = [path for path in files if job_id.encode() in path.read_bytes()]
    return path


def queue_up(own: OwnYard, how_many: int) -> list[str]:
    """Publish jobs that nobody fetches yet, and end the broker with them on its disk."""
    job_ids = own.hand_in(how_many=how_many)
    for job_id in job_ids:
        own.publish([job_id])
    own.ledger.mark_published(job_ids)
    own.broker.stop()
    return job_ids


@on_every_broker
def test_row_12_messages_that_the_disk_has_lost_are_sent_again(own: OwnYard) -> None:
    job_ids = queue_up(own, 20)
    path = file_with(own, job_ids[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    own.broker.start()
    assert 0 < len(own.sent()) < 20
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)


@on_every_broker
def test_row_12_a_message_that_the_disk_has_altered_is_refused_and_sent_again(own: OwnYard) -> None:
    [altered, *_] = job_ids = queue_up(own, 3)
    path = file_with(own, altered)
    content = path.read_bytes()
    opening = own.broker.opening_of_a_message
    path.write_bytes(content.replace(opening, b"}" + opening[1:], 1))
    own.broker.start()
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert own.fault_count(FaultKind.BAD_MESSAGE) == 1
    assert own.job(altered).attempt == 1


@on_every_broker
def test_row_13_a_full_broker_costs_nothing_but_time(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    first = [post(own, "sleep", 1) for _ in range(4)]
    own.wait_until(lambda: len(own.runs()) == 4, 20, "the work to begin")
    own.broker.fill_up()
    later = [post(own) for _ in range(5)]
    own.wait_for(first, Status.SUCCEEDED)
    assert all(job.status is Status.QUEUED for job in own.jobs(later))
    own.broker.relieve()
    own.wait_for(later, Status.SUCCEEDED)
    assert own_worker.process.poll() is None


@on_redis_alone("RabbitMQ lets a worker connect and consume while it is full")
def test_row_13_a_worker_that_connects_to_a_full_redis_pauses_between_its_tries(
    own: OwnYard, own_worker: Program
) -> None:
    own.broker.fill_up()
    own.broker.reset_connections()
    own.wait_until(lambda: losses(own_worker) >= 3, 30, "the worker to try again")
    before = losses(own_worker)
    sleep(6)
    assert losses(own_worker) - before <= 3
    output = own_worker.output()
    assert "Traceback" not in output
    assert "Warning: \nIn Celery 5.1" not in output
    later = own.hand_in(how_many=3)
    own.broker.relieve()
    own.wait_for(later, Status.SUCCEEDED)


def losses(worker: Program) -> int:
    return worker.output().count("Connection to broker lost")


@on_every_broker
def test_row_10_no_message_of_a_lost_connection_is_left_behind_in_a_file(
    own: OwnYard, tmp_path: Path
) -> None:
    own.extra["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    worker = own.start_worker()
    job_ids = own.hand_in("sleep", 4, seconds=2)
    own.wait_until(lambda: len(own.runs()) == 4, 20, "the work to begin")
    own.broker.kill()
    own.wait_until(lambda: losses(worker), 20, "the loss to be noticed")
    own.broker.start()
    own.wait_for(job_ids, Status.SUCCEEDED)
    worker.stop()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert "EMERGENCY" not in worker.output()


@on_redis_alone("RabbitMQ has no state in which it is only read from; a full one blocks whoever publishes")
def test_row_13_a_redis_that_only_reads_costs_nothing_but_time(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    own.redis.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    later = [post(own) for _ in range(5)]
    own.wait_until(lambda: "not published" in own_worker.output(), 20, "the refusal to be noticed")
    own.redis.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
    own.wait_for(later, Status.SUCCEEDED)
    assert own_worker.process.poll() is None


@on_every_broker
def test_row_15_a_silent_broker_holds_up_no_request_and_no_worker(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    job_ids = [post(own, "sleep", 1) for _ in range(4)]
    own.wait_until(lambda: len(own.runs()) == 4, 20, "the work to begin")
    own.broker.kill(signal.SIGSTOP)
    job_ids += [post(own) for _ in range(5)]
    own.wait_for(job_ids[:4], Status.SUCCEEDED)
    own.wait_until(lambda: "not published" in own_worker.output(), 20, "the silence to be noticed")
    own.broker.kill(signal.SIGCONT)
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)
    assert own_worker.process.poll() is None


@on_every_broker
def test_row_16_connections_that_are_reset_run_nothing_twice(own: OwnYard, own_worker: Program) -> None:
    job_ids = own.hand_in("sleep", 12, seconds=0.7)
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own.broker.reset_connections()
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert len(own.runs()) == 12
    assert own_worker.process.poll() is None
    assert "[critical" not in own_worker.output(), "a lost acknowledgement costs nothing"


@pytest.fixture
def far_away(own: OwnYard) -> Iterator[Proxy]:
    """The yard's broker through a proxy; Flower and the rest are not started."""
    with proxy_to(own.broker.port) as proxy:
        own.settings["JOBYARD_BROKER__URL"] = own.broker.url_by(proxy.listens_on)
        yield proxy
        own.kill_everything()


@on_every_broker
def test_row_17_a_slow_broker_costs_no_lease(own: OwnYard, far_away: Proxy) -> None:
    far_away.delay_seconds, far_away.bytes_per_second = 0.15, 125_000
    own.start_worker()
    job_ids = own.hand_in("sleep", 6, seconds=4)  # longer than a lease
    own.wait_for(
        job_ids, Status.SUCCEEDED, 120
    )  # a worker's every word to its broker takes a third of a second
    assert [job.lost for job in own.jobs(job_ids)] == [0] * 6
    assert len(own.runs()) == 6


@on_every_broker
def test_row_18_a_message_that_was_sent_after_all_runs_nothing_twice(own: OwnYard, far_away: Proxy) -> None:
    own.start_api()
    far_away.swallow_answers_after = own.broker.mark_of_a_publish
    job_id = post(own)
    own.wait_until(lambda: len(own.sent()) == 1, 20, "the message to get through")
    own.wait_until(lambda: far_away.swallowed >= 1, 20, "the answer to be swallowed")
    far_away.swallow_answers_after = None
    own.start_worker()
    own.wait_for([job_id, *own.hand_in()], Status.SUCCEEDED)
    assert own.runs().count((job_id, 1)) == 1
    assert own.job(job_id).attempt == 1


@on_every_broker
def test_row_19_a_retry_needs_no_broker(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("fail_once", max_attempts=3)
    own.wait_to_begin(job_id)
    own.broker.kill()
    own.wait_until(lambda: own.job(job_id).failures == 1, 20, "the failure to be written down")
    own.broker.start()
    own.wait_for([job_id], Status.SUCCEEDED)


@on_every_broker
def test_row_29_a_job_of_a_new_task_waits_for_a_worker_that_knows_it(own: OwnYard) -> None:
    modules = own.settings.pop("JOBYARD_TASKS__MODULES")
    old = own.start_worker()
    [job_id] = own.hand_in()
    own.wait_until(
        lambda: own.fault_count(FaultKind.UNKNOWN_TASK) >= 1, 20, "the old worker to meet the new task"
    )
    assert own.job(job_id).status is Status.QUEUED
    own.settings["JOBYARD_TASKS__MODULES"] = modules
    old.stop()
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)
    assert own.job(job_id).attempt == 1

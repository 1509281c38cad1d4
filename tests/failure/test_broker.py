"""A broker that is killed, forgets, fills up, falls silent or is far away (rows 9 to 19 of the matrix)."""

import json
import signal
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.job import Status
from jobs.tallies import Tally
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


def test_row_9_idle_workers_outlive_a_redis_that_is_killed(own: OwnYard, own_worker: Program) -> None:
    own.restart_valkey()
    own.wait_for(own.hand_in(how_many=3), Status.SUCCEEDED)
    assert own_worker.process.poll() is None


def test_row_10_running_and_delayed_jobs_outlive_it_too(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    job_ids = [post(own, "sleep", 1.5) for _ in range(8)]
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own.restart_valkey()
    job_ids += own.hand_in("fail_once", max_attempts=2)
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)
    assert own_worker.process.poll() is None


def test_row_11_everything_in_redis_is_lost_under_load(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    job_ids = own.hand_in("sleep", 600, seconds=0.01)
    own.wait_until(lambda: len(own.runs()) > 20, 20, "the work to begin")
    own.broker.flushall()
    job_ids += [post(own) for _ in range(20)]
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    own.check_invariant(job_ids)


def append_only_file(own: OwnYard) -> Path:
    [path] = (own.home / "valkey").rglob("*.incr.aof")
    return path


def queue_up(own: OwnYard, how_many: int) -> list[str]:
    """Publish jobs that nobody fetches yet, and end Redis with them on its disk."""
    job_ids = own.hand_in(how_many=how_many)
    for job_id in job_ids:
        own.publish([job_id])
    own.ledger.mark_published(job_ids)
    own.valkey.stop()
    return job_ids


def test_row_12_messages_that_the_disk_has_lost_are_sent_again(own: OwnYard) -> None:
    job_ids = queue_up(own, 20)
    path = append_only_file(own)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    own.start_valkey()
    assert 0 < len(own.sent()) < 20
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)


def test_row_12_a_message_that_the_disk_has_altered_is_refused_and_sent_again(own: OwnYard) -> None:
    [altered, *_] = job_ids = queue_up(own, 3)
    path = append_only_file(own)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'{"body', b'}"body', 1))
    own.start_valkey()
    own.start_worker()
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert own.tally(Tally.BAD_MESSAGE) == 1
    assert own.job(altered).attempt == 1


def test_row_13_a_full_redis_costs_nothing_but_time(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    first = [post(own, "sleep", 1) for _ in range(4)]
    own.wait_until(lambda: len(own.runs()) == 4, 20, "the work to begin")
    own.broker.config_set("maxmemory", "1kb")
    later = [post(own) for _ in range(5)]
    own.wait_for(first, Status.SUCCEEDED)
    assert all(job.status is Status.QUEUED for job in own.jobs(later))
    own.broker.config_set("maxmemory", "0")
    own.wait_for(later, Status.SUCCEEDED)
    assert own_worker.process.poll() is None


def test_row_13_a_redis_that_only_reads_costs_nothing_but_time(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    own.broker.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    later = [post(own) for _ in range(5)]
    own.wait_until(lambda: "not published" in own_worker.output(), 20, "the refusal to be noticed")
    own.broker.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
    own.wait_for(later, Status.SUCCEEDED)
    assert own_worker.process.poll() is None


def test_row_15_a_silent_redis_holds_up_no_request_and_no_worker(own: OwnYard, own_worker: Program) -> None:
    own.start_api()
    job_ids = [post(own, "sleep", 1) for _ in range(4)]
    own.wait_until(lambda: len(own.runs()) == 4, 20, "the work to begin")
    own.valkey.kill(signal.SIGSTOP)
    job_ids += [post(own) for _ in range(5)]
    own.wait_for(job_ids[:4], Status.SUCCEEDED)
    own.wait_until(lambda: "not published" in own_worker.output(), 20, "the silence to be noticed")
    own.valkey.kill(signal.SIGCONT)
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)
    assert own_worker.process.poll() is None


def test_row_16_connections_that_are_reset_run_nothing_twice(own: OwnYard, own_worker: Program) -> None:
    job_ids = own.hand_in("sleep", 12, seconds=0.7)
    own.wait_until(lambda: len(own.runs()) >= 4, 20, "the work to begin")
    own.broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    own.wait_for(job_ids, Status.SUCCEEDED)
    assert len(own.runs()) == 12
    assert own_worker.process.poll() is None


@pytest.fixture
def far_away(own: OwnYard) -> Iterator[Proxy]:
    """The yard's broker through a proxy; Flower and the rest are not started."""
    with proxy_to(own.port("VALKEY")) as proxy:
        own.settings["JOBYARD_BROKER__URL"] = f"redis://127.0.0.1:{proxy.listens_on}/0"
        yield proxy
        own.kill_everything()


def test_row_17_a_slow_broker_costs_no_lease(own: OwnYard, far_away: Proxy) -> None:
    far_away.delay_seconds, far_away.bytes_per_second = 0.15, 125_000
    own.start_worker()
    job_ids = own.hand_in("sleep", 6, seconds=4)  # longer than a lease
    own.wait_for(job_ids, Status.SUCCEEDED, 60)
    assert [job.lost for job in own.jobs(job_ids)] == [0] * 6
    assert len(own.runs()) == 6


def test_row_18_a_message_that_was_sent_after_all_runs_nothing_twice(own: OwnYard, far_away: Proxy) -> None:
    own.start_api()
    far_away.swallow_answers_after = b"LPUSH"
    job_id = post(own)
    own.wait_until(lambda: len(own.sent()) == 1, 20, "the message to get through")
    own.wait_until(lambda: far_away.swallowed >= 1, 20, "the answer to be swallowed")
    far_away.swallow_answers_after = None
    own.start_worker()
    own.wait_for([job_id, *own.hand_in()], Status.SUCCEEDED)
    assert own.runs().count((job_id, 1)) == 1
    assert own.job(job_id).attempt == 1


def test_row_19_a_retry_needs_no_broker(own: OwnYard, own_worker: Program) -> None:
    [job_id] = own.hand_in("fail_once", max_attempts=3)
    own.wait_to_begin(job_id)
    own.valkey.kill()
    own.wait_until(lambda: own.job(job_id).failures == 1, 20, "the failure to be written down")
    own.start_valkey()
    own.wait_for([job_id], Status.SUCCEEDED)


@pytest.mark.parametrize(
    "rubbish",
    [b"rubbish", b"{}", b"[1]", b"\x80\xff", b"[" * 100_000, b'{"body": "' + b"A" * 50_000_000 + b'"}'],
)
def test_a_message_that_is_none_is_counted_and_ends_nobody(own: OwnYard, rubbish: bytes) -> None:
    worker = own.start_worker()
    own.broker.lpush("default", rubbish)
    own.wait_until(lambda: own.tally(Tally.BAD_MESSAGE) == 1, 20, "the message to be counted")
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert worker.process.poll() is None


def strange_messages(message: bytes | str) -> dict[str, str]:
    """Return variations of a message of ours, each of which once ended a worker or made it deaf."""
    right = json.loads(message)
    arguments, keywords, links = json.loads(b64decode(right["body"]))

    def with_body(text: str) -> Any:
        return right | {"body": b64encode(text.encode()).decode()}

    def with_links(**more: Any) -> Any:
        return with_body(json.dumps([arguments, keywords, links | more]))

    def with_header(name: str, value: Any) -> Any:
        return right | {"headers": right["headers"] | {name: value}}

    def with_property(name: str, value: Any) -> Any:
        return right | {"properties": right["properties"] | {name: value}}

    strange = {
        **{f"body {text}": with_body(text) for text in ("5", "null", "[]", "[[]]", "", '{"a": 1}')},
        **{f"raw body {raw}": right | {"body": raw} for raw in ("$$$", "abc", 5, None)},
        "keywords": with_body(json.dumps([arguments, {"x": 1}, links])),
        "callbacks": with_links(callbacks=[{"task": "bad.deed", "args": [], "kwargs": {}}]),
        "chain": with_links(chain=[{"task": "no.such"}]),
        "errbacks": with_links(errbacks=[5]),
        "chord": with_links(chord={"task": "no.such"}),
        "links 5": with_body(json.dumps([arguments, keywords, 5])),
        "links null": with_body(json.dumps([arguments, keywords, None])),
        "task a list": with_header("task", ["a"]),
        "expires a list": with_header("expires", []),
        "limit a number": with_header("timelimit", 5),
        "limit of three": with_header("timelimit", [1, 2, 3]),
        "limits of words": with_header("timelimit", ["a", "b"]),
        "id a list": with_header("id", [1]),
        "no id": right | {"headers": {k: v for k, v in right["headers"].items() if k != "id"}},
        "stamps": with_header("stamped_headers", 5),
        "no type": right | {"content-type": None},
        "encoding 3": right | {"content-encoding": 3},
        "tag a list": with_property("delivery_tag", [1]),
        "info a text": with_property("delivery_info", "x"),
    }
    return {name: json.dumps(one) for name, one in strange.items()} | {"a long number": "9" * 5000}


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_message_that_says_what_ours_never_do_ends_nobody(own: OwnYard, pool: str) -> None:
    [job_id] = own.hand_in()
    own.publish([job_id])
    [message] = own.broker.lrange("default:5", 0, 0)
    worker = own.start_worker(pool, 2)
    own.wait_for([job_id], Status.SUCCEEDED)
    strange = strange_messages(message)
    for name, one in strange.items():
        own.broker.lpush("default", one)
        [next_one] = own.hand_in()
        own.publish([next_one])
        own.wait_for([next_one], Status.SUCCEEDED)
        assert worker.process.poll() is None, name
    assert own.tally(Tally.BAD_MESSAGE) > 0.8 * len(strange)  # some are right enough for a pool of some kind
    assert worker.stop() == 0
    assert own.broker.keys("default*") == [], "something was put back"
    assert len(own.runs()) == 1 + len(strange)


def test_a_message_that_names_no_job_runs_nothing(own: OwnYard, own_worker: Program) -> None:
    for argument in ({"then": "return"}, "x", [], ["not an id"], [1], None):
        own.app.send_task("bad.deed", args=[argument], queue="default")
    own.wait_until(lambda: own.tally(Tally.BAD_MESSAGE) == 6, 20, "all of them to be counted")
    own.app.send_task("bad.deed", args=[["01890a5d-ac96-774b-bcce-b302099a8057"]], queue="default")
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert len(own.runs()) == 1


def test_row_29_a_job_of_a_new_task_waits_for_a_worker_that_knows_it(own: OwnYard) -> None:
    modules = own.settings.pop("JOBYARD_TASKS__MODULES")
    old = own.start_worker()
    [job_id] = own.hand_in()
    own.wait_until(lambda: own.tally(Tally.UNKNOWN_TASK) >= 1, 20, "the old worker to meet the new task")
    assert own.job(job_id).status is Status.QUEUED
    own.settings["JOBYARD_TASKS__MODULES"] = modules
    old.stop()
    own.start_worker()
    own.wait_for([job_id], Status.SUCCEEDED)
    assert own.job(job_id).attempt == 1

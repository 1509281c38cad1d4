"""Messages that are none, or that say what ours never do: they are counted and dropped, and end nobody."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kombu import compression

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from tests.support.broker import REDIS, RawMessage, on_every_broker
from tests.support.own_yard import OwnYard
from tests.support.processes import Program
from tests.support.redis_broker import written

MIB = 1024 * 1024
pytestmark = [pytest.mark.timeout(180), on_every_broker]

RUBBISH = (b"rubbish", b"{}", b"[1]", b"\x80\xff", b"[" * 100_000, b'{"body": "' + b"A" * 50_000_000 + b'"}')


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda rubbish: repr(rubbish[:12]))
def test_a_message_that_is_none_is_counted_and_ends_nobody(own: OwnYard, rubbish: bytes) -> None:
    worker = own.start_worker()
    own.broker.push_bytes(rubbish)
    own.wait_until(lambda: own.fault_count(FaultKind.BAD_MESSAGE) == 1, 20, "the message to be counted")
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert worker.process.poll() is None


def strange_messages(right: RawMessage) -> dict[str, RawMessage]:
    """Return variations of a message of ours, each of which once ended a worker or made it deaf."""
    arguments, keywords, links = json.loads(right.body)

    def with_body(text: str) -> RawMessage:
        return replace(right, body=text.encode())

    def with_links(**more: Any) -> RawMessage:
        return with_body(json.dumps([arguments, keywords, links | more]))

    def with_header(name: str, value: Any) -> RawMessage:
        return replace(right, headers={**right.headers, name: value})

    return {
        **{f"body {text}": with_body(text) for text in ("5", "null", "[]", "[[]]", "", '{"a": 1}')},
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
        "no id": replace(right, headers={k: v for k, v in right.headers.items() if k != "id"}),
        "stamps": with_header("stamped_headers", 5),
        "no type": replace(right, content_type=None),
        "another type": replace(right, content_type="application/x-python-serialize"),
        "another encoding": replace(right, content_encoding="no-such"),
        "no headers": replace(right, headers={}),
    }


def strange_in_redis(right: RawMessage) -> Iterator[tuple[str, bytes]]:
    """Yield what only Redis can hold, where the frame around a message is text like any."""
    for raw in ("$$$", "abc", 5, None):
        yield f"raw body {raw}", written(right, body=raw)
    yield "encoding 3", written(replace(right, content_encoding=3))
    for name, value in (("delivery_tag", [1]), ("delivery_info", "x")):
        yield f"{name} {value}", written(replace(right, properties={**right.properties, name: value}))
    yield "a long number", b"9" * 5000


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_message_that_says_what_ours_never_do_ends_nobody(own: OwnYard, pool: str) -> None:
    own.start_worker(pool, 2).stop()  # so that the queues are there
    [job_id] = own.hand_in()
    own.publish([job_id])
    [right] = own.broker.peek()
    worker = own.start_worker(pool, 2)
    own.wait_for([job_id], Status.SUCCEEDED)

    def lives_on(name: str) -> None:
        [next_one] = own.hand_in()
        own.publish([next_one])
        own.wait_for([next_one], Status.SUCCEEDED)
        assert worker.process.poll() is None, name

    strange = strange_messages(right)
    for name, message in strange.items():
        own.broker.push(message)
        lives_on(name)
    in_redis = dict(strange_in_redis(right)) if own.broker.name == REDIS else {}
    for name, content in in_redis.items():
        own.broker.push_bytes(content)
        lives_on(name)
    how_many = len(strange) + len(in_redis)
    bad_messages = own.fault_count(FaultKind.BAD_MESSAGE)
    assert bad_messages > 0.8 * how_many  # some are right enough for a pool of some kind
    assert worker.stop() == 0
    assert own.broker.depth() == 0, "something was put back"
    assert len(own.runs()) == 1 + how_many


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_compressed_message_is_dropped_and_never_unpacked(own: OwnYard, pool: str) -> None:
    own.start_worker(pool, 1).stop()
    [job_id] = own.hand_in()
    own.publish([job_id])
    [right] = own.broker.peek()
    worker = own.start_worker(pool, 1)
    own.wait_for([job_id], Status.SUCCEEDED)
    before = peak_memory(worker)
    for method in ("application/x-gzip", "zlib", "bzip2", "xz"):
        compressed, name = compression.compress(right.body + b" " * 200 * MIB, method)
        own.broker.push(replace(right, body=compressed, headers={**right.headers, "compression": name}))
    own.wait_until(lambda: own.fault_count(FaultKind.BAD_MESSAGE) == 4, 20, "the messages to be counted")
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert peak_memory(worker) - before < 50 * MIB
    assert worker.stop() == 0


def peak_memory(worker: Program) -> int:
    """Return the most bytes of memory that the worker's main process has had."""
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker.process.pid}/status").read_text())
    return int(line) * 1024


def test_a_message_that_names_no_job_runs_nothing(own: OwnYard, own_worker: Program) -> None:
    for argument in ({"then": "return"}, "x", [], ["not an id"], [1], None):
        own.app.send_task("bad.deed", args=[argument], queue="default")
    own.wait_until(lambda: own.fault_count(FaultKind.BAD_MESSAGE) == 6, 20, "all of them to be counted")
    own.app.send_task("bad.deed", args=[["01890a5d-ac96-774b-bcce-b302099a8057"]], queue="default")
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert len(own.runs()) == 1

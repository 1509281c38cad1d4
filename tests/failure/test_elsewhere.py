"""Faults of the rest: eviction, clocks, a full disk, cancelled jobs, a long queue (rows 14 and 28 to 32)."""

import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import timedelta
from json import dumps, loads
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from jobyard.jobs.database.schema import job
from jobyard.jobs.job import NewJob, Status, new_id
from jobyard.settings.queues import DEFAULT_PRIORITY, HIGHEST_PRIORITY
from tests.support.bad_tasks import Deed
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.postgresql import new_database
from tests.support.processes import ROOT

pytestmark = pytest.mark.timeout(180)

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
needs_faketime = pytest.mark.skipif(
    FAKETIME is None and "CI" not in os.environ, reason="needs libfaketime (Debian: faketime)"
)


def test_row_14_a_redis_that_may_evict_is_warned_about(own: OwnYard) -> None:
    own.redis.config_set("maxmemory-policy", "allkeys-lru")
    worker = own.start_worker()
    own.start_api()
    checks = httpx.get(f"http://127.0.0.1:{own.port('API')}/readyz").json()["checks"]
    assert "may evict" in checks["broker"]
    assert "noeviction" in checks["broker"]
    assert "may evict" in worker.output()
    own.redis.config_set("maxmemory-policy", "noeviction")
    assert httpx.get(f"http://127.0.0.1:{own.port('API')}/readyz").json()["checks"]["broker"] == "ok"


@pytest.fixture
def on_postgresql(tmp_path: Path) -> Iterator[OwnYard]:
    """A yard whose ledger has a clock of its own."""
    with new_database() as url, opened(tmp_path, QUICK | {"JOBYARD_LEDGER__URL": url}) as yard:
        yield yard


@needs_faketime
@pytest.mark.postgresql
def test_row_28_clocks_of_workers_that_jump_change_nothing(on_postgresql: OwnYard, tmp_path: Path) -> None:
    own, clock = on_postgresql, tmp_path / "clock"
    clock.write_text("+0")
    own.extra |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        # Without these two the file is read for every look at a clock or a file, which takes all of a core.
        "FAKETIME_CACHE_DURATION": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    worker = own.start_worker()
    running = own.hand_in("sleep", 4, seconds=5)
    delayed = own.hand_in(how_many=2, delay=timedelta(seconds=6))
    far = own.hand_in(delay=timedelta(minutes=30))
    own.wait_until(lambda: len(own.runs()) == 4, 20, "the work to begin")
    clock.write_text("+1h")
    own.wait_for(running, Status.SUCCEEDED)
    clock.write_text("-1h")
    own.wait_for(delayed, Status.SUCCEEDED)
    assert [entry.attempt for entry in own.jobs(running + delayed)] == [1] * 6
    assert own.job(far[0]).status is Status.SCHEDULED
    assert worker.process.poll() is None


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_row_30_a_full_disk_fails_the_attempt_and_shows_no_half_file(own: OwnYard, tiny_disk: Path) -> None:
    own.settings["JOBYARD_FILES__URL"] = tiny_disk.as_uri()
    own.start_api()
    own.start_worker()
    base = f"http://127.0.0.1:{own.port('API')}"
    source = httpx.post(f"{base}/v1/files", content=(ROOT / "config" / "sample.png").read_bytes()).json()[
        "id"
    ]
    (tiny_disk / "filler").write_bytes(b"x" * (900 * 1024))
    before = {path for path in tiny_disk.rglob("*") if path.is_file()}
    order = {
        "source": {"file": source},
        "outputs": [{"format": "png", "width": 3000, "height": 3000, "mode": "exact"}],
    }
    answer = httpx.post(f"{base}/images", json=order, headers={"Prefer": "wait=30"}, timeout=60)
    entry = answer.json()
    assert entry["failure"] is not None, entry
    assert "space" in entry["failure"]["message"].lower(), entry["failure"]
    assert {path for path in tiny_disk.rglob("*") if path.is_file()} == before
    (tiny_disk / "filler").unlink()
    own.wait_until(
        lambda: httpx.post(f"{base}/v1/files", content=b"x" * 1000).status_code == 201, 10, "room for a file"
    )


def test_row_31_a_cancelled_job_stays_cancelled(own: OwnYard) -> None:
    job_ids = own.hand_in(how_many=3)
    for job_id in job_ids:
        own.publish([job_id])
        own.ledger.cancel(job_id)
    own.start_worker().stop()
    own.start_worker()
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert [entry.status for entry in own.jobs(job_ids)] == [Status.CANCELLED] * 3
    assert len(own.runs()) == 1


def test_row_32_a_long_queue_is_not_sent_again(own: OwnYard) -> None:
    total = 100_000
    fill_queue(own, total, "default:5", DEFAULT_PRIORITY)
    own.start_worker(queues="default")
    own.wait_until(lambda: len(own.runs()) > 500, 60, "several periods to pass")
    assert sent_again(own) < total / 100


def test_row_32_a_long_queue_of_urgent_jobs_beside_others_is_not_sent_again(own: OwnYard) -> None:
    total = 100_000
    own.start_worker(queues="default")
    less_urgent = own.hand_in("sleep", 2, seconds=60, priority=0)
    own.wait_until(lambda: len(own.runs()) == len(less_urgent), 20, "the others to begin")
    fill_queue(own, total, "default", HIGHEST_PRIORITY)
    own.wait_until(lambda: len(own.runs()) > 1_000, 60, "several periods to pass")
    assert sent_again(own) < total / 100


def fill_queue(own: OwnYard, total: int, key: str, priority: int) -> None:
    """Accept jobs of 50 ms each, and put their messages into the Redis list of their priority."""
    [first] = own.hand_in("sleep", seconds=0.05, delay=timedelta(hours=1))
    own.publish([first], queue="email")  # which no worker of the test serves
    [message] = own.redis.lrange("jobyard:email:5", 0, 0)
    payload = own.job(first).payload
    for _ in range(0, total, 10_000):
        new = [
            NewJob(id=new_id(), task="bad.deed", payload=payload, max_attempts=3, priority=priority)
            for _ in range(10_000)
        ]
        own.ledger.accept(new)
        own.redis.lpush(f"jobyard:{key}", *(like(message, first, entry.id) for entry in new))
        for part in range(0, 10_000, 2000):
            own.ledger.mark_published([entry.id for entry in new[part : part + 2000]])


def sent_again(own: OwnYard) -> int:
    with own.ledger.database.reading() as connection:
        count = select(func.count()).where(job.c.publish_count > 1)
        return int(connection.execute(count).scalar_one())


def test_row_32_many_jobs_over_http_are_sent_once(own: OwnYard) -> None:
    # Here the publisher sends them, while the keeper looks for what was not sent.
    total = 10_000
    own.start_api()
    order = Deed(journal=str(own.journal)).model_dump()
    answer = httpx.post(
        f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs/bulk", json=[order] * total, timeout=60
    )
    assert answer.json()["accepted"] == total
    own.wait_until(lambda: len(own.sent()) >= total, 60, "all of them to be sent")
    own.start_worker()
    own.wait_until(lambda: len(own.runs()) > 300, 60, "several periods to pass")
    assert sent_again(own) < total / 100


def like(message: bytes | str, job_id: str, other: str) -> bytes:
    """Return the message of another job: its id stands in it, and in its encoded body."""
    envelope = loads(message)
    body = b64decode(envelope["body"]).replace(job_id.encode(), other.encode())
    # A worker counts what it has fetched by these tags, and fetches no more than it may.
    properties = envelope["properties"] | {"delivery_tag": other}
    text = dumps(envelope | {"body": b64encode(body).decode(), "properties": properties})
    return text.replace(job_id, other).encode()

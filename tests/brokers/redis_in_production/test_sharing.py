"""One Redis for two yards, which a prefix keeps apart; and two for one yard, of which one may go."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jobyard.jobs.job import Status
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.redis_servers import Server, start_redis
from tests.support.ticking import is_leading, make_due, start_beat, ticks

pytestmark = pytest.mark.timeout(180)


def lists_of(server: Server) -> set[str]:
    return {str(key) for key in server.client.scan_iter(_type="list")}


def ping(own: OwnYard) -> dict[str, object]:
    """Return what the workers answer that hear what this yard says."""
    said = own.run("celery", "-q", "-A", "tasks.app", "inspect", "ping", "-t", "1", "--json").stdout
    return dict(json.loads(said)) if said.startswith("{") else {}


def messages(own: OwnYard) -> int:
    answer = httpx.get(f"http://127.0.0.1:{own.port('API')}/v1/queues", timeout=10)
    return sum(queue["messages"] for queue in answer.json())


@pytest.fixture
def server(own: OwnYard) -> Server:
    own.broker.kill()
    server = start_redis(own)
    own.settings |= {"JOBYARD_BROKER__URL": server.url, "JOBYARD_REDIS__PREFIX": "one:"}
    return server


@pytest.fixture
def neighbour(server: Server, tmp_path: Path) -> Iterator[OwnYard]:
    """Another yard on the same Redis and the same database of it."""
    home = tmp_path / "neighbour"
    home.mkdir()
    others = {"JOBYARD_BROKER__URL": server.url, "JOBYARD_REDIS__PREFIX": "two:"}
    with opened(home, QUICK | others) as yard:
        yield yard


def test_two_yards_on_one_redis_see_nothing_of_each_other(
    own: OwnYard, neighbour: OwnYard, server: Server
) -> None:
    neighbour.start_worker()
    beat, other_beat = start_beat(own), start_beat(neighbour)
    own.start_api()
    order = {"then": "return", "journal": str(own.journal)}
    address = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    mine = [httpx.post(address, json=order, timeout=5).json()["id"] for _ in range(3)]
    theirs = neighbour.hand_in(how_many=3)
    neighbour.wait_for(theirs, Status.SUCCEEDED)
    own.wait_until(lambda: messages(own) == 3, 20, "the messages to stand in a queue, and to be counted")
    assert {job.status for job in own.jobs(mine)} == {Status.QUEUED}
    assert lists_of(server) == {"one:jobyard:default:5"}
    own.wait_until(lambda: is_leading(beat) and is_leading(other_beat), 30, "both beats to lead")
    assert ping(own) == {}
    assert len(ping(neighbour)) == 1
    own.start_worker()
    own.wait_for(mine, Status.SUCCEEDED)
    make_due(server.url, "two:")
    neighbour.wait_until(lambda: ticks(neighbour), 20, "a tick of the neighbour's")
    assert ticks(own) == []
    assert {str(key).partition(":")[0] for key in server.client.scan_iter()} == {"one", "two"}


@pytest.fixture
def apart(own: OwnYard) -> tuple[Server, Server]:
    """A Redis for the messages, and another for the schedules and the turns."""
    own.broker.kill()
    broker, live = start_redis(own), start_redis(own)
    own.settings |= {"JOBYARD_BROKER__URL": broker.url, "JOBYARD_REDIS__URL": live.url}
    own.start_worker()
    beat = start_beat(own)
    own.start_api()
    own.wait_until(lambda: is_leading(beat), 30, "beat to lead")
    return broker, live


def collect(own: OwnYard) -> str:
    base = f"http://127.0.0.1:{own.port('API')}"
    answer = httpx.post(f"{base}/v1/tasks/page.collect/jobs", json={"url": f"{base}/healthz"}, timeout=5)
    return str(answer.json()["id"])


def test_schedules_and_turns_may_be_on_a_redis_of_their_own(
    own: OwnYard, apart: tuple[Server, Server]
) -> None:
    broker, live = apart
    own.wait_for([collect(own)], Status.SUCCEEDED)
    keys = {str(key) for key in live.client.scan_iter()}
    assert all(key.startswith(("jobyard:beat:", "jobyard:turn:")) for key in keys)
    others = {str(key) for key in broker.client.scan_iter()}
    assert not any(key.startswith(("jobyard:beat:", "jobyard:turn:")) for key in others)


def test_jobs_run_without_the_redis_for_schedules(own: OwnYard, apart: tuple[Server, Server]) -> None:
    _, live = apart
    live.program.kill()
    own.wait_for([*own.hand_in(how_many=3), collect(own)], Status.SUCCEEDED)


def test_beat_ticks_without_the_broker(own: OwnYard, apart: tuple[Server, Server]) -> None:
    broker, live = apart
    broker.program.kill()
    make_due(live.url)
    own.wait_until(lambda: ticks(own), 20, "a tick")
    assert own.job(ticks(own)[0]).status is Status.QUEUED

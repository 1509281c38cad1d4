"""Users with the smallest rights: the lines of docs/brokers.md, and the yard at work with them."""

import re

import httpx
import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from jobyard.jobs.job import Status
from tests.brokers.redis_in_production.conftest import OpenFlower
from tests.support.own_yard import OwnYard
from tests.support.processes import ROOT
from tests.support.redis_servers import LOOPBACK, Server, start_redis
from tests.support.ticking import is_leading, make_due, start_beat, ticks

pytestmark = pytest.mark.timeout(180)

PAGE = (ROOT / "docs" / "brokers.md").read_text()
USERS = dict(re.findall(r"^ACL SETUSER (\w+) (on >PASSWORD .+)$", PAGE, re.MULTILINE))
PREFIX = "shop:"


@pytest.fixture
def server(own: OwnYard) -> Server:
    """A Redis that knows the users of the page, and nobody else who may do anything but this test."""
    own.broker.kill()
    server = start_redis(own)
    for name, rights in USERS.items():
        server.client.execute_command("ACL", "SETUSER", name, *rights.split())  # type: ignore[no-untyped-call]
    own.settings["JOBYARD_REDIS__PREFIX"] = PREFIX
    return server


def become(own: OwnYard, user: str, server: Server) -> None:
    """Let what is started next ask as this user."""
    own.settings["JOBYARD_BROKER__URL"] = f"redis://{user}:PASSWORD@{LOOPBACK}:{server.port}/0"


def refused(server: Server) -> list[str]:
    log = server.client.acl_log()
    return [f"{entry['username']}: {entry['reason']} {entry['object']}" for entry in log]


def test_every_process_works_with_the_rights_of_its_user(
    own: OwnYard, server: Server, open_flower: OpenFlower
) -> None:
    become(own, "worker", server)
    worker = own.start_worker()
    become(own, "beat", server)
    beat = start_beat(own)
    become(own, "api", server)
    own.start_api()
    own.wait_until(lambda: is_leading(beat), 30, "beat to lead")
    with httpx.Client(base_url=f"http://127.0.0.1:{own.port('API')}", timeout=10) as client:
        order = {"then": "return", "journal": str(own.journal)}
        posted = [client.post("/v1/tasks/bad.deed/jobs", json=order) for _ in range(5)]
        posted.append(client.post("/v1/tasks/page.collect/jobs", json={"url": f"{client.base_url}/healthz"}))
        own.wait_for([answer.json()["id"] for answer in posted], Status.SUCCEEDED)
        assert client.get("/readyz").json()["checks"]["broker"] == "ok"
        assert {queue["messages"] for queue in client.get("/v1/queues").json()} == {0}
    make_due(server.url, PREFIX)
    own.wait_until(lambda: ticks(own), 20, "a tick")
    become(own, "flower", server)
    with open_flower() as flower:
        own.wait_until(lambda: flower.get("/api/workers?refresh=1").json(), 40, "Flower to see the worker")
        assert flower.get("/broker").status_code == 200
        assert flower.get("/api/queues/length").json()["active_queues"]
    become(own, "worker", server)
    assert "pong" in own.run("celery", "-q", "-A", "tasks.app", "inspect", "ping", "-t", "2").stdout
    assert worker.stop() == 0
    assert beat.stop() == 0
    assert refused(server) == []


def test_what_is_not_its_business_is_refused(server: Server) -> None:
    forbidden = {
        "api": [
            "BRPOP shop:jobyard:default 1",
            "LLEN shop:jobyard:turn:x",
            "PUBLISH shop:jobyard:/0.celery.pidbox x",
        ],
        "worker": ["DEL shop:jobyard:beat:x", "GET shop:jobyard:beat::lock", "PUBLISH other:/0.celeryev/x x"],
        "beat": [
            "BRPOP shop:jobyard:default 1",
            "LPUSH shop:jobyard:images x",
            "PUBLISH shop:jobyard:/0.celery.pidbox x",
        ],
        "flower": [
            "LPUSH shop:jobyard:default x",
            "BRPOP shop:jobyard:default 1",
            "EXISTS shop:jobyard:beat::lock",
        ],
    }
    nobodys = ("LLEN other:default", "FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST")
    assert forbidden.keys() == USERS.keys()
    for user, commands in forbidden.items():
        with Redis(LOOPBACK, server.port, username=user, password="PASSWORD", socket_timeout=5) as client:
            for command in (*commands, *nobodys):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*command.split())

"""A Redis that speaks TLS alone: every process trusts the certificate it is told to, and no other."""

from pathlib import Path

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from jobyard.broker.redis.client import open_redis
from jobyard.jobs.job import Status
from jobyard.settings import Settings
from tests.brokers.redis_in_production.conftest import OpenFlower
from tests.support.certificates import Certificate, make_certificate
from tests.support.own_yard import OwnYard
from tests.support.redis_servers import Server, start_tls_redis
from tests.support.sentinels import start_guarded_master
from tests.support.ticking import is_leading, make_due, start_beat, ticks

pytestmark = pytest.mark.timeout(180)

PATIENCE = Settings().broker.timeout


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path)


@pytest.fixture
def server(own: OwnYard, certificate: Certificate) -> Server:
    """A server that asks its callers for a certificate as well."""
    own.broker.kill()
    return start_tls_redis(own, certificate)


def url(server: Server, ca: Certificate, own: Certificate) -> str:
    files = f"ssl_ca_certs={ca.path}&ssl_certfile={own.path}&ssl_keyfile={own.key}"
    return f"rediss://127.0.0.1:{server.port}/0?{files}"


@pytest.fixture(params=["a server", "a Sentinel"])
def address(request: pytest.FixtureRequest, own: OwnYard, certificate: Certificate) -> str:
    """The URL of a server, or of a Sentinel with passwords for itself and for the master."""
    if request.param == "a server":
        return url(request.getfixturevalue("server"), certificate, certificate)
    own.broker.kill()
    return start_guarded_master(own, certificate)


def test_every_process_speaks_tls(own: OwnYard, address: str, open_flower: OpenFlower) -> None:
    own.settings["JOBYARD_BROKER__URL"] = address
    own.start_worker()
    beat = start_beat(own)
    own.start_api()
    with httpx.Client(base_url=f"http://127.0.0.1:{own.port('API')}", timeout=10) as client:
        order = {"then": "return", "journal": str(own.journal)}
        posted = [client.post("/v1/tasks/bad.deed/jobs", json=order) for _ in range(5)]
        posted.append(client.post("/v1/tasks/page.collect/jobs", json={"url": f"{client.base_url}/healthz"}))
        with open_redis(address, PATIENCE, decode_responses=True) as redis:
            # A turn is over soon.
            own.wait_until(
                lambda: any(str(key).startswith("jobyard:turn:") for key in redis.scan_iter()), 30, "a turn"
            )
            own.wait_for([answer.json()["id"] for answer in posted], Status.SUCCEEDED)
            assert client.get("/readyz").json()["checks"]["broker"] == "ok"
            redis.config_set("maxmemory-policy", "allkeys-lru")
        assert "may evict" in client.get("/readyz").json()["checks"]["broker"]
    own.wait_until(lambda: is_leading(beat), 30, "beat to lead")
    make_due(address)
    own.wait_until(lambda: ticks(own), 20, "a tick")
    with open_flower() as flower:
        own.wait_until(lambda: flower.get("/api/workers?refresh=1").json(), 40, "Flower to see the worker")
        lengths = flower.get("/api/queues/length").json()["active_queues"]
        assert {queue["messages"] for queue in lengths} == {0}


def test_a_certificate_of_another_authority_is_refused_and_named_as_the_reason(
    own: OwnYard, server: Server, certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "another").mkdir()
    other = make_certificate(tmp_path / "another")
    wrong = url(server, other, certificate)
    for address in (wrong, wrong.replace(f"ssl_ca_certs={other.path}&", "")):
        with open_redis(address, PATIENCE) as redis, pytest.raises(RedisConnectionError, match="CERTIFICATE"):
            redis.ping()
    with open_redis(f"{wrong}&ssl_cert_reqs=none", PATIENCE) as redis:
        assert redis.ping()
    own.settings["JOBYARD_BROKER__URL"] = wrong
    worker = own.start("worker", *own.worker_command("threads", 1))
    own.wait_until(lambda: "certificate" in worker.output().lower(), 30, "the worker to say why")
    assert " ready." not in worker.output()

"""The image of our Dockerfile with a real Redis, by pytest-celery: where a container engine answers."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from pytest_celery import CeleryWorkerContainer, RedisContainer  # type: ignore[import-untyped]
from pytest_docker_tools import build, container, fxtr  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
START = (
    "jobyard migrate && "
    "exec celery -q -A tasks.app worker -n io@%h -P threads -c 2 -Q default --without-gossip --without-mingle"
)
SUBMIT_AND_WAIT = """
from jobyard.tasks.housekeeping import Heartbeat, heartbeat
handle = heartbeat.delay(Heartbeat())
handle.get(timeout=30)
print(handle.job.status)
"""


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skip before pytest-celery asks an engine for anything, which would be an error and not a skip."""
    # In a process of its own: one that fails leaves sockets open, and one that hangs can be ended.
    ask = [sys.executable, "-c", "import docker; docker.from_env(timeout=10).ping()"]
    try:
        asked = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the container engine does not answer")
    if asked.returncode:
        pytest.skip(f"no container engine answers here: {asked.stderr.strip().splitlines()[-1]}")


@pytest.fixture
def default_redis_broker_image() -> str:
    """Overridden so that the Redis is the one of docker-compose.yml, and not the newest."""
    image: str = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]["image"]
    return image


@pytest.fixture
def jobyard_environment(default_redis_broker: RedisContainer) -> dict[str, str]:
    return {"JOBYARD_BROKER__URL": default_redis_broker.url}


jobyard_image = build(path=str(ROOT), tag="jobyard:test")

# Its ledger is a SQLite file of its own; it is ready when Celery says so.
jobyard_worker = container(
    image="{jobyard_image.id}",
    environment=fxtr("jobyard_environment"),
    network="{default_pytest_celery_network.name}",
    command=["sh", "-c", START],
    wrapper_class=CeleryWorkerContainer,
    timeout=60,
)


@pytest.mark.timeout(900)  # the image may have to be built
def test_a_worker_of_our_image_runs_a_job(jobyard_worker: CeleryWorkerContainer) -> None:
    code, output = jobyard_worker.exec_run(["python", "-c", SUBMIT_AND_WAIT])
    assert (code, output.decode().splitlines()[-1:]) == (0, ["succeeded"])

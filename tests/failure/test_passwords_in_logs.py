"""A broker's password is in no log of any process, whatever becomes of the broker; a wrong one ends them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest

from jobyard.broker.flower_password import FILE_NAME
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.job import Status
from tests.support.certificates import make_certificate
from tests.support.guarded_brokers import (
    ENCODED,
    SHORTEST_PART,
    GuardedRabbitMQ,
    GuardedRedis,
    guarded_rabbitmq,
    guarded_redis,
)
from tests.support.own_yard import QUICK, OwnYard
from tests.support.processes import Program, free_port
from tests.support.rabbitmq_node import require_rabbitmq

pytestmark = pytest.mark.timeout(180)

Guarded = GuardedRedis | GuardedRabbitMQ

WORKER: Final = "worker"
PROCESSES: Final[Mapping[str, tuple[str, ...]]] = {
    WORKER: ("celery", "-q", "-A", "tasks.app", "worker", "-P", "threads", "-c", "2", "-l", "DEBUG"),
    "beat": ("celery", "-q", "-A", "tasks.app", "beat", "-l", "DEBUG"),
    "flower": (
        "celery",
        "-q",
        "-A",
        "tasks.app",
        "flower",
        "--conf=jobyard/broker/flower.py",
        "--logging=debug",
    ),
    "keeper": ("jobyard.worker.keeper_thread",),
}


@pytest.fixture
def unopened(tmp_path: Path) -> Iterator[OwnYard]:
    """A yard with a ledger, which says all that it can, and no broker."""
    home = tmp_path / "yard"
    home.mkdir()
    yard = OwnYard(home, QUICK | {"JOBYARD_LOG__LEVEL": "DEBUG", "JOBYARD_BROKER__TIMEOUT": "1"})
    migrate(yard.ledger.database)
    yield yard
    yard.kill_everything()
    yard.ledger.database.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    """A broker of either kind that wants a password."""
    if request.param == "rabbitmq":
        require_rabbitmq()
    folder = tmp_path / "broker"
    folder.mkdir()
    certificate = make_certificate(folder)
    opened = guarded_redis if request.param == "redis" else guarded_rabbitmq
    with opened(folder, certificate) as server:
        yield server


def start_all(yard: OwnYard) -> dict[str, Program]:
    return {name: yard.start(name, *command) for name, command in PROCESSES.items()}


def ended(program: Program) -> bool:
    return program.process.poll() is not None


def written(yard: OwnYard) -> str:
    return "\n".join(program.output() for program in yard.programs)


def test_a_wrong_password_ends_every_process_but_the_api_with_a_sentence(
    unopened: OwnYard, guarded: Guarded
) -> None:
    unopened.settings["JOBYARD_BROKER__URL"] = guarded.url("s3cret-wrong%2F")
    programs = start_all(unopened) | {"make run": unopened.start("make-run", "jobyard", "run")}
    api = unopened.start_api()
    for name, program in programs.items():
        unopened.wait_until(lambda program=program: ended(program), 60, f"{name} to end")  # type: ignore[misc]
        assert program.process.returncode == 1, program.output()
        assert program.output().count("JOBYARD_BROKER__URL: ") == 1, program.output()
        assert "Traceback" not in program.output()
    unopened.wait_until(lambda: "JOBYARD_BROKER__URL: " in api.output(), 20, "the API to say it")
    base = f"http://127.0.0.1:{unopened.port('API')}"
    told = httpx.get(f"{base}/readyz", timeout=20)
    assert told.status_code == 200
    assert "JOBYARD_BROKER__URL: " in told.json()["checks"]["broker"]
    assert "refuses" in told.json()["checks"]["broker"]
    assert httpx.post(f"{base}/v1/tasks/bad.deed/jobs", json={}, timeout=10).status_code == 202
    unopened.wait_until(lambda: "not published" in api.output(), 20, "the API to ring in vain")
    assert SHORTEST_PART not in written(unopened) + told.text


def test_a_right_one_is_nowhere_either_when_the_broker_works_and_when_it_dies(
    unopened: OwnYard, guarded: Guarded
) -> None:
    unopened.settings["JOBYARD_BROKER__URL"] = guarded.url()
    programs = start_all(unopened)
    unopened.start_api()
    unopened.wait_for(unopened.hand_in(), Status.SUCCEEDED)
    guarded.kill()
    for name, words in (("worker", "Cannot connect"), ("worker", "not published"), ("flower", "events")):
        unopened.hand_in()
        program = programs[name]
        unopened.wait_until(said_by(program, words), 60, f"{name} to say {words!r}")
    assert not [name for name, program in programs.items() if ended(program)]
    guarded.start()
    unopened.wait_for([job_id for job_id, _ in unopened.everything()], Status.SUCCEEDED)
    assert SHORTEST_PART not in written(unopened)


def said_by(program: Program, words: str) -> Callable[[], bool]:
    return lambda: words in program.output()


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_is_named_and_waited_for(unopened: OwnYard, scheme: str) -> None:
    port = free_port()
    unopened.settings["JOBYARD_BROKER__URL"] = f"{scheme}://ada:{ENCODED}@127.0.0.1:{port}/"
    programs = start_all(unopened) | {"api": unopened.start_api()}
    for name, program in programs.items():
        sentence = f"no server listens at 127.0.0.1:{port}"
        unopened.wait_until(said_by(program, sentence), 30, f"{name} to say it")
    unopened.wait_until(said_by(programs["keeper"], "keeping"), 30, "the keeper to keep")
    unopened.wait_until(said_by(programs[WORKER], "Trying again"), 30, "the worker to wait")
    assert not [name for name, program in programs.items() if ended(program)]
    assert SHORTEST_PART not in written(unopened)


def test_a_wrong_redis_beside_ends_who_needs_it(unopened: OwnYard) -> None:
    unopened.start_valkey()
    with_password = f"redis://ada:s3cret@127.0.0.1:{unopened.port('VALKEY')}/1"
    unopened.settings["JOBYARD_REDIS__URL"] = with_password
    programs = start_all(unopened)
    for name in (WORKER, "beat"):
        unopened.wait_until(lambda name=name: ended(programs[name]), 60, f"{name} to end")  # type: ignore[misc]
        assert programs[name].process.returncode == 1
        assert "JOBYARD_REDIS__URL: Redis at " in programs[name].output()
    assert not ended(programs["keeper"])
    assert SHORTEST_PART not in written(unopened)


def test_rabbitmq_over_tls_serves_every_process(unopened: OwnYard, tmp_path: Path) -> None:
    require_rabbitmq()
    folder = tmp_path / "broker"
    folder.mkdir()
    certificate = make_certificate(folder)
    with guarded_rabbitmq(folder, certificate) as rabbitmq:
        url = rabbitmq.url().replace("amqp", "amqps").replace(str(rabbitmq.port), str(rabbitmq.tls_port))
        unopened.settings["JOBYARD_BROKER__URL"] = f"{url}?ssl_ca_certs={certificate.path}"
        programs = start_all(unopened)
        unopened.start_api()
        base = f"http://127.0.0.1:{unopened.port('API')}"
        order = {"journal": str(unopened.journal)}
        accepted = httpx.post(f"{base}/v1/tasks/bad.deed/jobs", json=order, timeout=10)
        unopened.wait_for([accepted.json()["id"]], Status.SUCCEEDED)
        assert httpx.get(f"{base}/readyz", timeout=20).json()["checks"]["broker"] == "ok"
        flower = f"http://127.0.0.1:{unopened.port('FLOWER')}/api/workers"
        login = ("jobyard", (unopened.home / FILE_NAME).read_text().strip())
        unopened.wait_until(
            lambda: httpx.get(flower, params={"refresh": "1"}, auth=login, timeout=20).json(),
            30,
            "Flower to hear of the worker",
        )
        assert not [name for name, program in programs.items() if ended(program)]
        assert "no server listens at" not in programs["flower"].output()
        assert SHORTEST_PART not in written(unopened)

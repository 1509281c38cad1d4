"""Flower beside the yard, on each broker: behind its password, with workers, tasks and queues, and orders."""

from collections.abc import Iterator
from datetime import timedelta
from socket import gethostname
from typing import Any

import httpx
import pytest

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.interventions import interventions
from jobyard.settings.priority_bands import RABBITMQ_PREFIX
from tests.support.broker import RABBITMQ, REDIS
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.processes import answers, free_port
from tests.support.rabbitmq_broker import RabbitMQBroker
from tests.support.rabbitmq_node import RabbitMQNode, require_rabbitmq
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def managed_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A RabbitMQ with its management API, which is a plugin."""
    require_rabbitmq()
    home = tmp_path_factory.mktemp("managed")
    node = RabbitMQNode(home)
    (home / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{node.port}\nloopback_users = none\n"
        f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {free_port()}\n"
    )
    yield node
    node.close()


def management_api(node: RabbitMQNode) -> str:
    port = (node.home / "rabbitmq.conf").read_text().split()[-1]
    return f"http://guest:guest@127.0.0.1:{port}/api/"


@pytest.fixture(scope="module", params=[REDIS, pytest.param(RABBITMQ, marks=pytest.mark.rabbitmq)])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnYard]:
    """A yard with a worker and Flower."""
    broker, settings = None, dict(QUICK)
    if request.param == RABBITMQ:
        node = request.getfixturevalue("managed_node")
        broker = RabbitMQBroker(node)
        settings["JOBYARD_FLOWER__BROKER_API"] = management_api(node)
    with opened(tmp_path_factory.mktemp("yard"), settings, broker) as yard:
        yard.start_worker()
        yard.start("flower", "celery", "-q", "-A", "tasks.app", "flower", "--conf=jobyard/broker/flower.py")
        wait_until(lambda: answers(yard.port("FLOWER")), 40, "Flower to answer")
        yield yard


@pytest.fixture(scope="module")
def flower(own: OwnYard) -> Iterator[httpx.Client]:
    password = (own.home / "flower.password").read_text()
    base = f"http://127.0.0.1:{own.port('FLOWER')}"
    with httpx.Client(base_url=base, auth=("jobyard", password), timeout=30) as client:
        yield client


def known_workers(flower: httpx.Client) -> list[str]:
    return list(flower.get("/api/workers", params={"refresh": "1"}).json())


def test_flower_wants_its_password(flower: httpx.Client) -> None:
    for path in ("api/workers", "metrics"):
        assert httpx.get(f"{flower.base_url}/{path}").status_code == 401
        assert flower.get(f"/{path}").status_code == 200
    assert httpx.get(f"{flower.base_url}/api/workers", auth=("jobyard", "wrong")).status_code == 401


def test_flower_shows_workers_and_tasks_by_their_names(own: OwnYard, flower: httpx.Client) -> None:
    def is_seen() -> bool:
        return any(name.startswith("threads") for name in known_workers(flower))

    own.wait_until(is_seen, 40, "Flower to see it")
    [good], [bad] = own.hand_in(), own.hand_in("raise")
    own.wait_for([good], Status.SUCCEEDED)
    own.wait_for([bad], Status.DEAD)
    seen: dict[str, Any] = {}

    def are_shown() -> bool:
        seen.update(flower.get("/api/tasks", params={"limit": "100"}).json())
        return {seen.get(job_id, {}).get("state") for job_id in (good, bad)} == {"SUCCESS", "FAILURE"}

    own.wait_until(are_shown, 40, "Flower to show how both ended")
    assert seen[good]["name"] == "bad.deed"
    assert "ValueError" in seen[bad]["exception"]


def shown_as(own: OwnYard, queue: str) -> str:
    """Return a queue's name in Flower, which shows those of RabbitMQ as they are."""
    return f"{RABBITMQ_PREFIX}{queue}" if own.broker.name == RABBITMQ else queue


def test_flower_shows_the_queues_of_the_broker(own: OwnYard, flower: httpx.Client) -> None:
    wait_until(lambda: known_workers(flower), 40, "Flower to see a worker")

    def shown() -> dict[str, int | None]:
        found = flower.get("/api/queues/length").json()["active_queues"]
        return {queue["name"]: queue.get("messages") for queue in found}  # not counted yet, on RabbitMQ

    expected = {shown_as(own, queue): 0 for queue in ("default", "email", "collect", "images")}
    wait_until(lambda: expected.items() <= shown().items(), 20, "all queues")
    assert "images" in flower.get("/broker").text


def test_flower_shows_the_queue_of_a_worker_that_comes_later(own: OwnYard, flower: httpx.Client) -> None:
    own.settings["JOBYARD_QUEUES"] = "reports=threads"
    try:
        own.start_worker("threads", 1, "reports")
    finally:
        del own.settings["JOBYARD_QUEUES"]

    def shown() -> set[str]:
        return {queue["name"] for queue in flower.get("/api/queues/length").json()["active_queues"]}

    own.wait_until(
        lambda: shown_as(own, "reports") in shown(),
        30,
        "Flower to show its queue, without being asked to refresh",
    )


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_flower_shows_how_a_job_ended_that_outlasted_the_stop_of_its_worker(
    own: OwnYard, flower: httpx.Client, pool: str
) -> None:
    worker = own.start_worker(pool, 1, "collect")
    [job_id] = own.hand_in("sleep", seconds=1.5, queue="collect")
    own.wait_to_begin(job_id)
    worker.process.terminate()
    own.wait_for([job_id], Status.SUCCEEDED)

    def state() -> str:
        return str(flower.get("/api/tasks", params={"limit": "100"}).json().get(job_id, {}).get("state"))

    own.wait_until(lambda: state() == "SUCCESS", 20, "Flower to show its end")


def test_revoke_cancels_a_job_that_waits_and_says_who_did_it(own: OwnYard, flower: httpx.Client) -> None:
    [job_id] = own.hand_in(delay=timedelta(hours=1))
    answer = flower.post(f"/api/task/revoke/{job_id}")
    assert (answer.status_code, answer.json()["message"]) == (200, f"job {job_id} is cancelled")
    assert own.job(job_id).status is Status.CANCELLED
    [intervention] = interventions(own.ledger.database, job_id)
    assert (intervention.actor, intervention.reason) == ("flower", "revoked in Flower")
    again = flower.post(f"/api/task/revoke/{job_id}")
    assert again.json()["message"] == f"job {job_id} has ended already: cancelled"


def test_terminate_says_that_what_runs_goes_on(own: OwnYard, flower: httpx.Client) -> None:
    [job_id] = own.hand_in("sleep", seconds=2)
    own.wait_to_begin(job_id)
    answer = flower.post(f"/api/task/revoke/{job_id}", params={"terminate": "true"})
    assert answer.status_code == 409
    assert "it goes on" in answer.text
    own.wait_for([job_id], Status.SUCCEEDED)


@pytest.mark.parametrize("job_id", ["no-uuid", "01a22ec6-838e-70bb-92fa-65d0c2f5a2b2"])
def test_a_job_that_there_is_not_is_not_revoked(flower: httpx.Client, job_id: str) -> None:
    answer = flower.post(f"/api/task/revoke/{job_id}")
    assert answer.status_code == 404
    assert answer.text.startswith("no job ")


@pytest.mark.parametrize(
    ("button", "fields"), [("rate-limit", {"ratelimit": "1/m"}), ("timeout", {"hard": "9", "soft": "8"})]
)
def test_limits_cannot_be_set_in_flower(
    own: OwnYard, flower: httpx.Client, button: str, fields: dict[str, str]
) -> None:
    own.wait_until(lambda: known_workers(flower), 40, "Flower to see a worker")
    form = fields | {"workername": known_workers(flower)[0]}
    answer = flower.post(f"/api/task/{button}/bad.deed", data=form)
    assert answer.status_code == 403
    assert "jobs are in the ledger" in answer.text


def test_a_worker_ends_when_flower_is_told_to_shut_it_down(own: OwnYard, flower: httpx.Client) -> None:
    worker = own.start_worker("threads", 1, "collect")
    name = f"threads{own.programs.index(worker)}@{gethostname()}"
    own.wait_until(lambda: name in known_workers(flower), 40, "Flower to see it")
    assert flower.post(f"/api/worker/shutdown/{name}").status_code == 200
    own.wait_until(lambda: worker.process.poll() is not None, 20, "the worker to end")
    assert worker.process.returncode == 0

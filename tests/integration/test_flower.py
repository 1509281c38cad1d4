"""Flower beside the yard: behind its password, with the workers and the tasks by their names."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.bad_tasks import Deed, deed
from tests.support.processes import YardProcesses, answers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def flower(worker: YardProcesses) -> Iterator[httpx.Client]:
    worker.start("flower", "celery", "-q", "-A", "tasks.app", "flower", "--conf=config/flower.py")
    wait_until(lambda: answers(worker.port("FLOWER")), 40, "Flower to answer")
    password = (worker.home / "flower.password").read_text()
    base = f"http://127.0.0.1:{worker.port('FLOWER')}"
    with httpx.Client(base_url=base, auth=("jobyard", password), timeout=30) as client:
        yield client


def test_flower_wants_its_password(flower: httpx.Client) -> None:
    assert httpx.get(f"{flower.base_url}/api/workers").status_code == 401
    assert httpx.get(f"{flower.base_url}/api/workers", auth=("jobyard", "wrong")).status_code == 401


def test_flower_shows_workers_and_tasks_by_their_names(flower: httpx.Client) -> None:
    def known_workers() -> list[str]:
        return list(flower.get("/api/workers", params={"refresh": "1"}).json())

    wait_until(lambda: any(name.startswith("threads") for name in known_workers()), 40, "Flower to see it")
    good, bad = deed.delay(Deed()), deed.delay(Deed(then="raise"))
    good.get(timeout=20)
    wait_until(bad.ready, 20, "the other to die")
    seen: dict[str, Any] = {}

    def are_shown() -> bool:
        seen.update(flower.get("/api/tasks", params={"limit": "100"}).json())
        return {seen.get(job.id, {}).get("state") for job in (good, bad)} == {"SUCCESS", "FAILURE"}

    wait_until(are_shown, 40, "Flower to show how both ended")
    assert seen[good.id]["name"] == "bad.deed"
    assert "ValueError" in seen[bad.id]["exception"]

"""A yard whose Redis is chosen by the test, and Flower as somebody sees it who has the password."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.processes import answers

OpenFlower = Callable[[], AbstractContextManager[httpx.Client]]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnYard]:
    """A yard with short patience, which uses the embedded Valkey until it is told otherwise."""
    with opened(tmp_path, QUICK | {"JOBYARD_COLLECT__ALLOW": "127.0.0.0/8"}) as yard:
        yield yard


@pytest.fixture
def open_flower(own: OwnYard) -> OpenFlower:
    @contextmanager
    def opened_flower() -> Iterator[httpx.Client]:
        own.start("flower", "celery", "-q", "-A", "tasks.app", "flower", "--conf=jobyard/broker/flower.py")
        own.wait_until(lambda: answers(own.port("FLOWER")), 40, "Flower to answer")
        password = (own.home / "flower.password").read_text()
        base = f"http://127.0.0.1:{own.port('FLOWER')}"
        with httpx.Client(base_url=base, auth=("jobyard", password), timeout=30) as client:
            yield client

    return opened_flower

"""A real API with its worker, as its users' tools meet it, and its OpenAPI document in a file."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api_calls import client_of
from tests.support.processes import YardProcesses, answers


@pytest.fixture(scope="session")
def api(worker: YardProcesses) -> Iterator[httpx.Client]:
    if not answers(worker.port("API")):
        worker.start_api()
    with client_of(worker) as client:
        yield client


@pytest.fixture
def document(api: httpx.Client, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(api.get("/openapi.json").raise_for_status().text)
    return path

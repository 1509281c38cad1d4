"""A real API with its worker, as its users' tools meet it, and its OpenAPI document in a file."""

from pathlib import Path

import httpx
import pytest


@pytest.fixture
def document(api: httpx.Client, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(api.get("/openapi.json").raise_for_status().text)
    return path

"""The two ways in, the fast lane and FastAPI's, answer alike."""

import json
from typing import Any

import httpx
import pytest

from tests.support.api_calls import EMAIL, ended, raw

# Asks for nothing, and is more than a plain request has.
SLOWLY = {"Prefer": "respond-async"}
OWN = ("id", "links", "created_at", "run_at")


def shape(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """Return what two answers have in common that are about different jobs."""
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "location", "content-length")}
    body = answer.json()
    return answer.status_code, headers, {k: v for k, v in body.items() if k not in OWN}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tasks/bad.deed/jobs", b'{"text":"hello"}'),
        ("/v1/tasks/bad.deed/jobs", b"{}"),
        ("/v1/tasks/bad.deed/jobs", b""),
        ("/v1/tasks/bad.deed/jobs", b"[]"),
        ("/v1/tasks/bad.deed/jobs", b'{"nope":1,"seconds":"x"}'),
        ("/v1/tasks/bad.deed/jobs", b'{"seconds":NaN}'),
        ("/v1/tasks/bad.deed/jobs", b'{"text":"a\\u0000b"}'),
        ("/v1/tasks/bad.deed/jobs", b'{"text":"\xff"}'),
        ("/v1/tasks/no.such/jobs", b"{}"),
        ("/email", json.dumps(EMAIL).encode()),
        ("/email", b'{"to":"nobody"}'),
    ],
)
def test_both_ways_in_answer_alike(api: httpx.Client, path: str, body: bytes) -> None:
    assert shape(raw(api, path, body)) == shape(raw(api, path, body, **SLOWLY))


def test_a_job_from_the_fast_lane_runs(api: httpx.Client) -> None:
    job_id = raw(api, "/v1/tasks/bad.deed/jobs", b'{"text":"hello"}').json()["id"]
    assert ended(api, job_id)["result"] == {"said": "hello"}

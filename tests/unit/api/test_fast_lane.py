"""The fast lane takes what is plain, and hands everything else on as it came."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from api.committer import Committer
from api.fast_lane import FastLane
from api.intake import Intake
from config.sections import ApiSettings
from config.settings import Settings
from jobs.errors import LedgerUnavailableError
from jobs.ledger import Ledger
from jobs.records import get_job
from tests.support import bad_tasks  # noqa: F401 (declares its tasks)

PATH = "/v1/tasks/bad.deed/jobs"
BODY = b'{"text":"hello"}'
PLAIN = {"host": "localhost:8000", "content_type": "application/json"}


class Inner:
    """Stands for FastAPI: remembers what comes."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)


class Asked:
    """One request to a fast lane around `Inner`, and what became of it."""

    def __init__(self, ledger: Ledger, api: ApiSettings | None = None) -> None:
        self.inner = Inner()
        self.sent: list[Any] = []
        self._ledger, self._settings = ledger, Settings(api=api or ApiSettings())

    def post(
        self,
        body: bytes = BODY,
        path: str = PATH,
        query: bytes = b"",
        client: str = "127.0.0.1",
        chunks: int = 1,
        method: str = "POST",
        **headers: str,
    ) -> "Asked":
        asyncio.run(self._post(body, path, query, client, chunks, method, PLAIN | headers))
        return self

    async def _post(
        self,
        body: bytes,
        path: str,
        query: bytes,
        client: str,
        chunks: int,
        method: str,
        headers: dict[str, str],
    ) -> None:
        intake = Intake(Committer(self._ledger, self._settings))
        yard: Any = SimpleNamespace(settings=self._settings, intake=intake, keys=self._settings.api.keys)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "client": (client, 4711),
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items() if value
            ],
        }
        size = max(1, len(body) // chunks)
        parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        messages = [
            {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            self.sent.append(message)

        await FastLane(self.inner)(scope, receive, send, yard)
        await intake.close()

    @property
    def was_fast(self) -> bool:
        return not self.inner.bodies


def test_a_plain_request_is_accepted_without_fastapi(own_ledger: Ledger) -> None:
    asked = Asked(own_ledger).post()
    assert asked.was_fast
    start, body = asked.sent
    job = json.loads(body["body"])
    assert (start["status"], job["status"], job["task"]) == (202, "queued", "bad.deed")
    assert dict(start["headers"])[b"location"] == f"/v1/jobs/{job['id']}".encode()
    assert json.loads(get_job(own_ledger.engine, job["id"]).payload)["text"] == "hello"


@pytest.mark.parametrize(
    "other",
    [
        {"query": b"priority=9"},
        {"path": "/v1/tasks/bad.old/jobs"},
        {"path": "/v1/tasks/bad.deed/jobs/bulk"},
        {"path": "/v1/jobs"},
        {"method": "PUT"},
        {"prefer": "wait=1"},
        {"idempotency_key": "k"},
        {"expect": "100-continue"},
        {"content_encoding": "gzip"},
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"chunks": 2},
        {"body": b""},
        {"body": b"{"},
        {"body": b'{"nope":1}'},
        {"body": b'{"text":"a\\u0000b"}'},
        {"body": b'{"seconds":NaN}'},
        {"body": b'{"text":"Infinity"}'},
        {"body": b'{"text":"' + b"x" * 70_000 + b'"}'},
        {"client": "192.0.2.1"},
        {"host": "example.org"},
        {"host": ""},
        {"origin": "https://example.org"},
    ],
    ids=str,
)
def test_everything_else_reaches_fastapi_as_it_came(own_ledger: Ledger, other: dict[str, Any]) -> None:
    asked = Asked(own_ledger).post(**other)
    assert not asked.was_fast
    assert asked.inner.bodies == [other.get("body", BODY)]
    assert asked.sent == []


def test_a_file_that_a_payload_names_is_looked_up_by_fastapi(own_ledger: Ledger) -> None:
    mail: dict[str, Any] = {"to": ["a@example.org"], "subject": "s", "text": "t"}
    assert Asked(own_ledger).post(json.dumps(mail).encode(), "/email").was_fast
    mail["attachments"] = [{"file": "01890a5d-ac96-774b-bcce-b302099a8057"}]
    assert not Asked(own_ledger).post(json.dumps(mail).encode(), "/email").was_fast


@pytest.mark.parametrize(
    ("headers", "is_fast"),
    [
        ({"authorization": "Bearer right"}, True),
        ({"authorization": "bearer  right "}, True),
        ({"x_api_key": "right"}, True),
        ({"authorization": "Bearer wrong"}, False),
        ({"authorization": "Basic right"}, False),
        ({"x_api_key": "wrong"}, False),
        ({}, False),
    ],
)
def test_with_keys_only_who_has_one_is_served(
    own_ledger: Ledger, headers: dict[str, Any], is_fast: bool
) -> None:
    api = ApiSettings(keys=("other", "right"))
    assert Asked(own_ledger, api).post(client="192.0.2.1", host="example.org", **headers).was_fast is is_fast


def test_a_ledger_that_is_away_is_a_503(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise LedgerUnavailableError("away")

    monkeypatch.setattr(own_ledger, "accept", away)
    start, body = Asked(own_ledger).post().sent
    assert (start["status"], json.loads(body["body"])["detail"]) == (503, "away")
    assert b"retry-after" in dict(start["headers"])

"""What the tests of the API say often: hand in a deed, wait for its end, expect a problem."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import func, select

from jobyard.jobs.database.ledger_database import LedgerDatabase, open_database
from jobyard.jobs.database.schema import file, job
from jobyard.jobs.job import FINAL
from jobyard.settings import Settings
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

MakeYard = Callable[..., YardProcesses]

DEEDS = "/v1/tasks/bad.deed/jobs"
MAILS = "/v1/tasks/email.send/jobs"
NOBODYS_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
JSON = {"Content-Type": "application/json"}
PROBLEM_JSON = "application/problem+json"

EMAIL = {"to": "ada@example.org", "subject": "Hello", "text": "The first mail from Jobyard."}


def client_of(yard: YardProcesses, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{yard.port('API')}", headers=headers, timeout=60)


def ledger_of(home: Path) -> LedgerDatabase:
    """Return an engine for the ledger of a yard of its own."""
    return open_database(Settings(home=home))


def a_word() -> str:
    """Return a word that no other test uses: a tag or a key."""
    return uuid4().hex


def raw(api: httpx.Client, path: str, body: Any, **headers: str) -> httpx.Response:
    """Post bytes, or chunks of them, that say they are JSON."""
    return api.post(path, content=body, headers=JSON | headers)


def accepted(answer: httpx.Response) -> dict[str, Any]:
    """Return the job in a 202."""
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def deed(api: httpx.Client, options: dict[str, Any] | None = None, **payload: Any) -> str:
    """Hand in a `bad.deed`; return its job's id."""
    job_id: str = accepted(api.post(DEEDS, params=options, json=payload))["id"]
    return job_id


def shown(api: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = api.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def ended(api: httpx.Client, job_id: str, seconds: float = 30) -> dict[str, Any]:
    """Wait for a job's end and return it."""
    wait_until(lambda: shown(api, job_id)["status"] in FINAL, seconds, f"job {job_id} to end")
    return shown(api, job_id)


def problem(answer: httpx.Response, status: int, field: str | None) -> dict[str, Any]:
    """Return the problem (RFC 9457) in an answer, which must have this status and name this field."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["type"].startswith("urn:jobyard:problem:")
    assert told["title"]
    assert told["detail"]
    if field is not None:
        assert field in [error["field"] for error in told["errors"]], told
        assert all(error["message"] for error in told["errors"])
    return told


def count_jobs(database: LedgerDatabase) -> int:
    return _count(database, job.c.id)


def count_files(database: LedgerDatabase) -> int:
    return _count(database, file.c.id)


def _count(database: LedgerDatabase, column: Any) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count(column))).scalar_one()


@contextmanager
def nothing_accepted(database: LedgerDatabase) -> Iterator[None]:
    """Check that the block writes no job into the ledger."""
    before = count_jobs(database)
    yield
    assert count_jobs(database) == before


def stored_files(home: Path) -> list[Path]:
    """Return every file that lies in a yard's store."""
    return [path for path in (home / "files").rglob("*") if path.is_file()]


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def mail_body(**changes: Any) -> bytes:
    """Return a mail as JSON; a value of None leaves the field out, bytes stand as they are."""
    literal = {name: value for name, value in changes.items() if isinstance(value, bytes)}
    plain = {name: value for name, value in (EMAIL | changes).items() if name not in literal}
    text = json.dumps({name: value for name, value in plain.items() if value is not None}).encode()
    return (
        text[:-1] + b"".join(b', "%s": %s' % (name.encode(), value) for name, value in literal.items()) + b"}"
    )

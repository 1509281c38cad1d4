"""Jobs that are part of a transaction of Django's, and what is said where they cannot be."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import ConnectionHandler
from django.db.transaction import Atomic

from jobyard.jobs.job import Status
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job
from jobyard.jobs.reading.search import list_jobs
from tasks.mail.payload import Email
from tasks.mail.task import send_email

MAIL = Email(to=("ada@example.org",), subject="Hello", text="It's 'quoted' and ünicode, 100 %")


@pytest.fixture
def connections(postgresql_ledger: Ledger) -> Iterator[ConnectionHandler]:
    if not settings.configured:
        settings.configure()
    url = postgresql_ledger.database.engine.url
    server = {"HOST": url.host or "", "PORT": url.port or "", "USER": url.username or ""}
    handler = ConnectionHandler(
        {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.database,
                "PASSWORD": url.password or "",
                **server,
            },
            "elsewhere": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        }
    )
    yield handler
    handler.close_all()


def test_a_job_is_part_of_djangos_transaction(
    postgresql_ledger: Ledger, connections: ConnectionHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.db.transaction.get_connection", lambda using=None: connections["default"])
    database = postgresql_ledger.database
    with Atomic("default", savepoint=True, durable=False):
        handle = send_email.options(connection=connections["default"], priority=9, tags=["a"]).delay(MAIL)
        called = send_email.apply_async((MAIL,), connection=connections["default"], countdown=60)
        assert list_jobs(database, JobFilter(), 10).jobs == []
    job = get_job(database, handle.id)
    assert (job.status, job.priority, job.tags) == (Status.QUEUED, 9, ("a",))
    assert send_email.definition.decode(job.payload) == MAIL
    assert get_job(database, called.id).status is Status.SCHEDULED
    with Atomic("default", savepoint=True, durable=False):
        send_email.submit(MAIL, connection=connections["default"])
        connections["default"].set_rollback(True)
    assert len(list_jobs(database, JobFilter(), 10).jobs) == 2


def test_another_database_of_djangos_says_what_to_call_instead(connections: ConnectionHandler) -> None:
    with pytest.raises(TypeError, match=r"Django's to sqlite.*only on PostgreSQL.*delay_on_commit"):
        send_email.submit(MAIL, connection=connections["elsewhere"])

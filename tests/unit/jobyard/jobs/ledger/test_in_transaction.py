"""Jobs in the caller's own transaction, with every kind of connection and in plain SQL."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from jobyard.jobs.errors import IdempotencyConflictError, LedgerUnavailableError
from jobyard.jobs.job import Job, NewJob, Status, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.in_transaction import accept_within
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare_tasks
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job
from jobyard.jobs.reading.search import list_jobs
from jobyard.tasks.registry import declare_all, load_tasks
from tasks.mail.payload import Email
from tasks.mail.task import send_email

MAIL = Email(to=("ada@example.org",), subject="Hello", text="It's 'quoted' and ünicode")


def everything(ledger: Ledger) -> list[Job]:
    return list_jobs(ledger.database, JobFilter(), 100).jobs


def psycopg_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def by_connection(url: URL) -> Iterator[Any]:
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def by_session(url: URL) -> Iterator[Any]:
    engine = create_engine(url)
    with Session(engine) as session:
        yield session
    engine.dispose()


@contextmanager
def by_scoped_session(url: URL) -> Iterator[Any]:
    engine = create_engine(url)
    scoped = scoped_session(sessionmaker(engine))
    yield scoped
    scoped.remove()
    engine.dispose()


@contextmanager
def by_psycopg(url: URL) -> Iterator[Any]:
    with psycopg.connect(psycopg_url(url), row_factory=dict_row) as connection:
        yield connection


Opened = Callable[[URL], AbstractContextManager[Any]]
BY_SQLALCHEMY: tuple[Opened, ...] = (by_connection, by_session, by_scoped_session)


def test_a_job_is_there_when_its_transaction_commits_and_not_before(
    own_ledger: Ledger, subtests: pytest.Subtests
) -> None:
    is_postgresql = own_ledger.database.engine.dialect.name == "postgresql"
    for opened in (*BY_SQLALCHEMY, *([by_psycopg] if is_postgresql else [])):
        with subtests.test(opened.__name__), opened(own_ledger.database.engine.url) as transaction:
            handle = send_email.submit(
                MAIL, connection=transaction, priority=9, tags=["a", "b"], unique_key=opened.__name__
            )
            assert handle.id not in {job.id for job in everything(own_ledger)}
            transaction.commit()
            job = get_job(own_ledger.database, handle.id)
            assert (job.status, job.priority, job.tags) == (Status.QUEUED, 9, ("a", "b"))
            assert send_email.definition.decode(job.payload) == MAIL


def test_a_job_goes_with_the_transaction_that_is_rolled_back(
    own_ledger: Ledger, subtests: pytest.Subtests
) -> None:
    is_postgresql = own_ledger.database.engine.dialect.name == "postgresql"
    for opened in (*BY_SQLALCHEMY, *([by_psycopg] if is_postgresql else [])):
        with subtests.test(opened.__name__), opened(own_ledger.database.engine.url) as transaction:
            send_email.submit(MAIL, connection=transaction)
            transaction.rollback()
            assert everything(own_ledger) == []


def test_a_job_in_a_transaction_is_the_job_that_it_would_have_been_without(own_ledger: Ledger) -> None:
    options: dict[str, Any] = {
        "queue": "images",
        "priority": 0,
        "delay": timedelta(hours=1),
        "expires_in": timedelta(hours=2),
        "max_attempts": 7,
        "unique_key": "one",
        "tags": ["b", "a"],
    }
    new = NewJob(id=new_id(), task="email.send", payload='{"b": 1.0, "a":"ü"}', request_hash="x", **options)
    [own] = own_ledger.accept([new._replace(unique_key="other", idempotency_key="k1")])
    with own_ledger.database.engine.begin() as connection:
        [within] = accept_within(connection, [new._replace(id=new.id[:-1] + "0", idempotency_key="k2")])
    alone, joined = get_job(own_ledger.database, own.job_id), get_job(own_ledger.database, within.job_id)
    for name in ("run_at", "expires_at"):
        assert abs(getattr(alone, name) - getattr(joined, name)) < timedelta(seconds=10)
    neither = {"id", "created_at", "run_at", "expires_at", "unique_key", "idempotency_key"}
    for name in set(Job.__slots__) - neither:
        assert getattr(alone, name) == getattr(joined, name), name


def test_many_go_into_one_transaction(own_ledger: Ledger) -> None:
    with own_ledger.database.engine.connect() as connection:
        handles = send_email.submit_many([MAIL] * 20, connection=connection)
        connection.commit()
        send_email.submit_many([MAIL] * 5, connection=connection)
        connection.rollback()
    assert {job.id for job in everything(own_ledger)} == {handle.id for handle in handles}


def test_keys_mean_the_same_in_a_transaction(own_ledger: Ledger) -> None:
    with own_ledger.database.engine.begin() as connection:
        first = send_email.submit(MAIL, connection=connection, idempotency_key="k")
        again = send_email.submit(MAIL, connection=connection, idempotency_key="k")
        assert (again.id, first.is_new, again.is_new) == (first.id, True, False)
        with pytest.raises(IdempotencyConflictError, match="'k'"):
            send_email.submit(MAIL, connection=connection, idempotency_key="k", priority=9)
        one = send_email.submit(MAIL, connection=connection, unique_key="u")
        assert send_email.submit(MAIL, connection=connection, unique_key="u").id == one.id
    assert len(everything(own_ledger)) == 2


@pytest.mark.postgresql
def test_a_key_that_another_transaction_has_just_used_is_waited_for(postgresql_ledger: Ledger) -> None:
    with postgresql_ledger.database.engine.connect() as rival:
        first = send_email.submit(MAIL, connection=rival, unique_key="u")

        async def both() -> tuple[Any, Any]:
            second = asyncio.create_task(
                asyncio.to_thread(in_own_transaction, postgresql_ledger.database.engine)
            )
            await asyncio.sleep(0.2)
            assert not second.done()
            rival.commit()
            return first, await second

        first, second = asyncio.run(both())
    assert second.id == first.id


def in_own_transaction(engine: Engine) -> Any:
    with engine.begin() as connection:
        return send_email.submit(MAIL, connection=connection, unique_key="u")


def test_what_is_no_transaction_is_refused_with_what_would_be() -> None:
    for wrong in (object(), "postgresql://", create_engine("sqlite://")):
        with pytest.raises(TypeError, match="connection must be a Connection or Session of SQLAlchemy"):
            send_email.submit(MAIL, connection=wrong)  # type: ignore[arg-type]
    asynchronous = AsyncSession(create_async_engine("postgresql+psycopg://"))
    with pytest.raises(TypeError, match="use `await task"):
        send_email.submit(MAIL, connection=asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"use `task.submit\(\.\.\.\)`"):
        asyncio.run(send_email.submit_async(MAIL, connection=Session()))  # type: ignore[arg-type]


def test_a_database_without_a_ledger_is_refused() -> None:
    empty = create_engine("sqlite://")
    with empty.connect() as connection, pytest.raises(LedgerUnavailableError, match="holds no ledger"):
        send_email.submit(MAIL, connection=connection)
    empty.dispose()


@pytest.mark.postgresql
def test_a_postgresql_without_a_ledger_is_refused(postgresql_ledger: Ledger) -> None:
    with postgresql_ledger.database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA jobyard CASCADE"))
    for opened in (by_session, by_psycopg):
        missing = pytest.raises(LedgerUnavailableError, match="holds no ledger")
        with opened(postgresql_ledger.database.engine.url) as transaction, missing:
            send_email.submit(MAIL, connection=transaction)


@pytest.mark.postgresql
def test_coroutines_submit_in_their_transactions(postgresql_ledger: Ledger) -> None:
    url = postgresql_ledger.database.engine.url

    async def by_async_session(end: str) -> Any:
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session:
            handle = await send_email.submit_async(MAIL, connection=session)
            await getattr(session, end)()
        await engine.dispose()
        return handle

    async def by_async_connection(end: str) -> Any:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            handle = await send_email.submit_async(MAIL, connection=connection)
            await getattr(connection, end)()
        await engine.dispose()
        return handle

    async def by_async_psycopg(end: str) -> Any:
        async with await psycopg.AsyncConnection.connect(psycopg_url(url)) as connection:
            handle = await send_email.submit_async(MAIL, connection=connection)
            await getattr(connection, end)()
        return handle

    ways: list[Callable[[str], Coroutine[Any, Any, Any]]] = [
        by_async_session,
        by_async_connection,
        by_async_psycopg,
    ]
    for way in ways:
        asyncio.run(way("rollback"))
    assert everything(postgresql_ledger) == []
    handles = [asyncio.run(way("commit")) for way in ways]
    assert {job.id for job in everything(postgresql_ledger)} == {handle.id for handle in handles}


@pytest.mark.postgresql
def test_sql_alone_submits_with_what_the_task_declares(postgresql_ledger: Ledger) -> None:
    load_tasks()
    declare_all(postgresql_ledger.database)
    with by_psycopg(postgresql_ledger.database.engine.url) as connection:
        row = connection.execute(
            "SELECT * FROM jobyard.submit('email.send', %s, tags => ARRAY['shop'])", [MAIL.model_dump_json()]
        ).fetchone()
        connection.commit()
    job = get_job(postgresql_ledger.database, str(row["job_id"]))
    assert row["verdict"] == Verdict.NEW
    task = send_email.definition
    assert (job.task, job.queue, job.priority) == ("email.send", "email", task.declaration.priority)
    assert (job.max_attempts, job.tags) == (task.policy.max_attempts, ("shop",))
    assert job.id[14] == "7"
    assert job.id > new_id()[:4]


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("'no.such', '{}'", r"there is no task \'no.such\'; the tasks are: .*email.send"),
        ("'email.send', '[]'", "payload must be a JSON object"),
        ("'email.send', NULL", "payload must be a JSON object"),
        ("'email.send', '{'", "invalid input syntax for type json"),
        ("'email.send', '{}', queue => 'nowhere'", "there is no queue 'nowhere'; the queues are: "),
        ("'email.send', '{}', priority => 10", "priority is 10, and goes from 0 to 9"),
        ("'email.send', '{}', max_attempts => 0", "max_attempts is 0, and goes from 1 to 100"),
        ("'email.send', '{}', delay => '-1s'", "delay is negative"),
        ("'email.send', '{}', delay => '1s', run_at => now()", "delay and run_at both say when to start"),
        ("'email.send', '{}', run_at => '9999-01-01'", "366 days"),
        ("'email.send', '{}', delay => '2s', expires_in => '1s'", "ends before the job may start"),
        ("'email.send', '{}', unique_key => 'ü'", "unique_key must be"),
        ("'email.send', '{}', idempotency_key => ''", "idempotency_key must be"),
        ("'email.send', '{}', tags => ARRAY['a,b']", "tags may be 20"),
        ("'email.send', '{}', tags => ARRAY[NULL]", "tags may be 20"),
    ],
)
def test_sql_that_cannot_be_is_refused_by_name(postgresql_ledger: Ledger, arguments: str, words: str) -> None:
    load_tasks()
    declare_all(postgresql_ledger.database)
    with (
        by_psycopg(postgresql_ledger.database.engine.url) as connection,
        pytest.raises(psycopg.Error, match=words),
    ):
        connection.execute(f"SELECT jobyard.submit({arguments})".encode())
    assert everything(postgresql_ledger) == []


@pytest.mark.postgresql
def test_an_application_needs_no_rights_to_the_tables(postgresql_ledger: Ledger) -> None:
    declare_all(postgresql_ledger.database)
    with by_psycopg(postgresql_ledger.database.engine.url) as connection:
        connection.execute("CREATE ROLE a_shop")
        connection.execute("GRANT USAGE ON SCHEMA jobyard TO a_shop")
        connection.execute("SET LOCAL ROLE a_shop")
        # A path of their own, with a table that has the name of one of ours.
        connection.execute("CREATE TEMP TABLE job (id int)")
        connection.execute("SELECT jobyard.submit('email.send', '{}')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("SELECT * FROM jobyard.job")
        connection.rollback()


@pytest.mark.postgresql
def test_the_keys_of_sql_are_those_of_everybody(postgresql_ledger: Ledger) -> None:
    declare_all(postgresql_ledger.database)
    with by_psycopg(postgresql_ledger.database.engine.url) as connection:

        def submit(arguments: str) -> Any:
            call = f"SELECT * FROM jobyard.submit('email.send', '{{}}', {arguments})"
            return connection.execute(call.encode()).fetchone()

        first = submit("idempotency_key => 'k'")
        assert submit("idempotency_key => 'k'") == {"job_id": first["job_id"], "verdict": "repeated"}
        unique = submit("unique_key => 'u'")
        assert submit("unique_key => 'u'") == {"job_id": unique["job_id"], "verdict": "duplicate"}
        with pytest.raises(psycopg.errors.UniqueViolation, match="idempotency key 'k' was used before"):
            submit("idempotency_key => 'k', priority => 9")
        connection.rollback()


def test_declaring_again_changes_what_has_changed(own_ledger: Ledger) -> None:
    one = DeclaredTask("a.b", "a.b", "default", 4, 3)
    declare_tasks(own_ledger.database, [one])
    declare_tasks(own_ledger.database, [replace(one, priority=9), replace(one, name="old.name")])
    with own_ledger.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT name, priority FROM declared_task ORDER BY name")).all()
    assert [tuple(row) for row in rows] == [("a.b", 9), ("old.name", 4)]

"""Over which connections is written: what is waited for, for how long, and by which plan."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import pytest
from psycopg import sql
from sqlalchemy import Engine, text

import jobyard.jobs.database.sqlite
import jobyard.jobs.ledger.accept
import jobyard.jobs.ledger.claim
import jobyard.jobs.ledger.settle
from jobyard.jobs.database.engines import Durability
from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.sqlite import take_write_lock
from jobyard.jobs.database.statement import CommittedStatement
from jobyard.jobs.errors import Interruption, LedgerUnavailableError
from jobyard.jobs.job import NewJob, Succeeded, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from jobyard.settings.sections import LedgerSettings

only_sqlite = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)


def new() -> NewJob:
    return NewJob(new_id(), "any", "{}", 3)


def pragma(engine: Engine, name: str) -> Any:
    with closing(engine.raw_connection()) as connection:
        return connection.cursor().execute(f"PRAGMA {name}").fetchone()[0]


@only_sqlite
def test_whatever_a_person_or_a_result_waits_for_is_on_disk_and_a_claim_need_not_be(
    own_ledger: Ledger,
) -> None:
    normal, full = 1, 2
    writers = own_ledger.database.engines
    assert pragma(writers.transactions, "synchronous") == full
    assert pragma(writers.statements[Durability.FULL], "synchronous") == full
    claims = writers.statements[Durability.UNTIL_POWER_CUT]
    assert pragma(claims, "synchronous") == normal
    assert pragma(claims, "wal_autocheckpoint") == 0, "a claim would wait for a checkpoint's disk"
    assert pragma(claims, "journal_mode") == "wal"


def test_only_claims_leases_and_notes_of_publishing_are_not_waited_for() -> None:
    claims, outcomes, acceptances = (
        [value.durability for value in vars(module).values() if isinstance(value, CommittedStatement)]
        for module in (jobyard.jobs.ledger.claim, jobyard.jobs.ledger.settle, jobyard.jobs.ledger.accept)
    )
    assert claims == [Durability.UNTIL_POWER_CUT] * 4
    assert outcomes + acceptances == [Durability.FULL] * 6


@pytest.mark.postgresql
def test_on_postgresql_whose_workers_may_stand_elsewhere_every_claim_is_on_disk(
    postgresql_ledger: Ledger,
) -> None:
    for engine in set(postgresql_ledger.database.engines.statements.values()):
        with closing(engine.raw_connection()) as connection:
            assert connection.cursor().execute("SHOW synchronous_commit").fetchone() == ("on",)


@contextmanager
def another_writer(file: Path) -> Iterator[sqlite3.Connection]:
    """Hold the write lock as another process would."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield writer


@only_sqlite
def test_who_waits_for_another_process_goes_on_when_it_has_written(
    own_ledger: Ledger, tmp_path: Path
) -> None:
    with another_writer(tmp_path / "jobyard.db") as writer:
        threading.Timer(0.2, lambda: writer.execute("COMMIT")).start()
        assert own_ledger.accept([new()])[0].verdict is Verdict.NEW


@only_sqlite
def test_who_connects_while_another_has_the_file_to_itself_waits_too(
    own_ledger: Ledger, tmp_path: Path
) -> None:
    """As for a moment when the last process before this one ends, or a log is read after a crash."""
    own_ledger.database.close()
    other = sqlite3.connect(tmp_path / "jobyard.db", isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("CREATE TABLE passing (x)")
    threading.Timer(0.3, other.close).start()
    [accepted] = own_ledger.accept([new()])
    assert own_ledger.claim([accepted.job_id], "any")


def test_who_waits_too_long_is_told_so_and_nothing_is_written(tmp_path: Path, template: Path) -> None:
    file = tmp_path / "jobyard.db"
    file.write_bytes(template.read_bytes())
    patience = timedelta(milliseconds=200)
    database = open_database(Settings(home=tmp_path, ledger=LedgerSettings(busy_timeout=patience)))
    ledger, waiting = Ledger(database, Settings()), new()
    accepted = ledger.accept([new()])
    with another_writer(file):
        for write in (lambda: ledger.accept([waiting]), lambda: ledger.claim([accepted[0].job_id], "any")):
            began = monotonic()
            with pytest.raises(LedgerUnavailableError, match="database is locked"):
                write()
            assert monotonic() - began >= patience.total_seconds()
    assert ledger.claim([waiting.id, accepted[0].job_id], "any")[0].id == accepted[0].job_id
    database.close()


@only_sqlite
def test_what_is_written_closes_with_the_ledger(own_ledger: Ledger, tmp_path: Path) -> None:
    own_ledger.accept([new()])
    own_ledger.claim([new_id()], "any")
    own_ledger.database.close()
    assert not (tmp_path / "jobyard.db-wal").exists(), "the last one to close takes the log along"


@pytest.mark.postgresql
def test_a_kept_plan_that_was_made_for_an_empty_table_looks_a_job_up_by_its_id(
    postgresql_ledger: Ledger,
) -> None:
    ledger = postgresql_ledger
    with ledger.database.engine.connect() as own:
        own.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE job")
    [accepted] = ledger.accept([new()])
    [claimed] = ledger.claim([accepted.job_id], "any")
    ledger.settle([Succeeded(claimed.id, claimed.attempt, "null")])
    engine = ledger.database.engines.statements[Durability.UNTIL_POWER_CUT]
    with closing(engine.raw_connection()) as pooled:
        connection: Any = pooled.driver_connection
        assert connection.execute("SHOW plan_cache_mode").fetchone() == ("force_generic_plan",)
        kept = connection.execute(
            "SELECT name, cardinality(parameter_types), statement FROM pg_prepared_statements"
        ).fetchall()
        plans = {}
        for name, count, statement in kept:
            if statement.startswith("UPDATE"):
                given = sql.SQL(", ").join([sql.SQL("NULL")] * count)
                explain = sql.SQL("EXPLAIN EXECUTE {} ({})").format(sql.Identifier(name), given)
                plans[name] = "\n".join(row[0] for row in connection.execute(explain))
    assert len(plans) == 2, "a claim and a success"
    for plan in plans.values():
        assert "Index Scan using pk_job" in plan or "Index Scan using job_pkey" in plan
        assert "Seq Scan" not in plan


@only_sqlite
def test_who_is_interrupted_when_it_has_just_the_lock_leaves_it_to_nobody(
    own_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*call: Any) -> NoReturn:
        take_write_lock(*call)
        raise Interruption

    with monkeypatch.context() as patch:
        patch.setattr(jobyard.jobs.database.sqlite, "take_write_lock", interrupted)
        with pytest.raises(Interruption), own_ledger.database.writing():
            pass
    check_nothing_is_locked(own_ledger, tmp_path)


@only_sqlite
def test_who_is_interrupted_in_a_statement_leaves_no_lock_even_where_its_traceback_is_kept(
    own_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []

    def interrupted(cursor: Any, statement: str, parameters: Any, context: Any = None) -> NoReturn:
        kept.append(cursor.execute(statement, parameters))
        raise Interruption

    def write() -> None:
        with own_ledger.database.writing() as connection:
            connection.execute(text("UPDATE job SET payload = payload RETURNING id"))

    own_ledger.accept([new(), new()])
    with monkeypatch.context() as patch:
        patch.setattr(own_ledger.database.engines.transactions.dialect, "do_execute", interrupted)
        with pytest.raises(Interruption):
            write()
    assert kept
    check_nothing_is_locked(own_ledger, tmp_path)


def check_nothing_is_locked(ledger: Ledger, home: Path) -> None:
    with closing(sqlite3.connect(home / "jobyard.db", isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    with ledger.database.writing():
        pass
    assert ledger.accept([new()])[0].verdict is Verdict.NEW


@pytest.mark.postgresql
def test_tables_that_are_changed_under_a_kept_plan_are_a_reason_to_try_again(
    postgresql_ledger: Ledger,
) -> None:
    ledger = postgresql_ledger
    first, second = ledger.accept([new()]) + ledger.accept([new()])
    assert ledger.claim([first.job_id], "any")
    with ledger.database.writing() as connection:
        connection.execute(text("ALTER TABLE job ALTER COLUMN attempt TYPE bigint"))
    with pytest.raises(LedgerUnavailableError, match="changed meanwhile: try again"):
        ledger.claim([second.job_id], "any")
    assert ledger.claim([second.job_id], "any")

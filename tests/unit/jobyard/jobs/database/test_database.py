"""What is said when the ledger cannot be used, and that it is safe on disk."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from jobyard.jobs.clock import db_now, utc_now
from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.migrate import _config, migrate
from jobyard.jobs.database.schema import job, metadata
from jobyard.jobs.database.schema_version import EXPECTED_VERSION, check_is_migrated, check_takes_writes
from jobyard.jobs.database.sqlite import make_sqlite_file, prepare
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import FINAL, MOVES, NewJob, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import list_jobs
from jobyard.settings import Settings
from jobyard.settings.sections import LedgerSettings
from tests.support.postgresql import new_database
from tests.support.processes import ROOT, YardProcesses


def test_a_ledger_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path))
    make_sqlite_file(database.url)
    with pytest.raises(LedgerUnavailableError, match="make migrate"), database.reading() as connection:
        connection.execute(text("SELECT * FROM job"))
    with pytest.raises(LedgerUnavailableError, match="make migrate"):
        check_is_migrated(database)


def test_looking_for_a_ledger_where_there_is_none_makes_none(tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path / "mistyped"))
    with (
        pytest.raises(LedgerUnavailableError, match=r"no ledger at .*mistyped.*JOBYARD_HOME"),
        database.writing(),
    ):
        pass
    assert not (tmp_path / "mistyped").exists()


def test_a_restored_backup_can_be_opened_by_several_at_the_same_moment(tmp_path: Path) -> None:
    def open_at_once(path: Path, barrier: Barrier) -> None:
        with closing(sqlite3.connect(path)) as connection:
            barrier.wait(10)
            prepare(connection, SimpleNamespace(info={}), timeout_seconds=10)

    # SQLite refuses one of three in about every seventh round.
    for number in range(60):
        path = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(path)) as ledger:
            ledger.execute("CREATE TABLE job (id TEXT)")
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(open_at_once, [path] * 3, [Barrier(3)] * 3))


def test_a_ledger_that_cannot_be_reached_names_the_setting_and_no_password() -> None:
    url = "postgresql+psycopg://someone:secret@127.0.0.1:1/nowhere"
    database = open_database(Settings(ledger=LedgerSettings(url=url)))
    with pytest.raises(LedgerUnavailableError, match="JOBYARD_LEDGER__URL") as error, database.writing():
        pass
    assert "secret" not in str(error.value)


def test_a_ledger_in_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LedgerUnavailableError, match="taken"):
        migrate(open_database(Settings(home=tmp_path / "taken")))


def test_sqlite_commits_to_disk_and_keeps_readers_apart_from_writers(tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path))
    make_sqlite_file(database.url)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_a_full_disk_is_named_and_nothing_is_half_written(own_ledger: Ledger) -> None:
    if own_ledger.database.engine.dialect.name != "sqlite":
        pytest.skip("a server's disk is not ours to fill")
    with own_ledger.database.writing() as connection:  # the one that the pool gives out again
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")
    new = [NewJob(new_id(), "bad.deed", '"' + "x" * 5000 + '"', max_attempts=1) for _ in range(20)]
    with pytest.raises(LedgerUnavailableError, match=r"the disk of the ledger at .* is full: make room"):
        own_ledger.accept(new)
    assert list_jobs(own_ledger.database, JobFilter(), 10).jobs == []


def test_migrating_twice_changes_nothing(own_ledger: Ledger) -> None:
    version = migrate(own_ledger.database)
    assert migrate(own_ledger.database) == version
    check_is_migrated(own_ledger.database)


def test_a_ledger_of_another_version_is_refused_with_both_versions(own_ledger: Ledger) -> None:
    with own_ledger.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerUnavailableError, match=r"9999.*needs"):
        check_is_migrated(own_ledger.database)


def test_who_starts_waits_for_no_writer_and_who_asks_for_readiness_does(tmp_path: Path) -> None:
    database = open_database(
        Settings(home=tmp_path, ledger=LedgerSettings(busy_timeout=timedelta(milliseconds=100)))
    )
    migrate(database)
    with closing(sqlite3.connect(tmp_path / "jobyard.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        check_is_migrated(database)
        with pytest.raises(LedgerUnavailableError, match="database is locked"):
            check_takes_writes(database)
    check_takes_writes(database)
    database.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://x/y", "JOBYARD_LEDGER__URL: the URL must begin with one of sqlite://, postgresql://"),
        ("postgresql://postgres:secret@127.0.0.1:1/x", "cannot be used: connection failed"),
    ],
)
def test_a_migration_of_a_wrong_url_is_a_sentence(tmp_path: Path, url: str, words: str) -> None:
    ended = YardProcesses(tmp_path, {"JOBYARD_LEDGER__URL": url}).run("jobyard.jobs.database.migrate")
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr


def test_a_server_that_is_too_old_is_named_with_both_versions(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "jobyard.jobs.database.schema_version.OLDEST_SERVER",
        {own_ledger.database.engine.dialect.name: (99, 1)},
    )
    for look in (check_is_migrated, migrate):
        with pytest.raises(
            LedgerUnavailableError, match=r"is (sqlite|postgresql) \d+\.\S+: Jobyard needs 99\.1"
        ):
            look(own_ledger.database)


def test_the_ledgers_clock_is_the_time_and_keeps_its_zone(own_ledger: Ledger) -> None:
    with own_ledger.database.reading() as connection:
        now = connection.execute(select(db_now())).scalar_one()
        later = connection.execute(select(db_now(plus=timedelta(hours=1)))).scalar_one()
    assert now.tzinfo is UTC
    assert abs(utc_now() - now) < timedelta(seconds=30)
    assert timedelta(hours=1) <= later - now < timedelta(hours=1, seconds=30)


def test_only_a_person_moves_a_job_out_of_a_final_status() -> None:
    by_persons = {(Status.DEAD, Status.QUEUED), (Status.DEAD, Status.CANCELLED)}
    assert {(status, target) for status in FINAL for target in MOVES[status]} == by_persons


def test_the_readme_draws_the_moves_as_they_are() -> None:
    edges = re.findall(r"^    (\w+) --> (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(set(edges)) == sorted((source, target) for source in MOVES for target in MOVES[source])


@pytest.mark.parametrize("wrong", [Status.SUCCEEDED, Status.RETRYING, Status.SCHEDULED])
def test_the_tests_ledger_refuses_a_move_that_is_not_in_the_table(own_ledger: Ledger, wrong: Status) -> None:
    own_ledger.accept([NewJob(id=new_id(), task="any", payload="{}", max_attempts=1)])
    with pytest.raises(DBAPIError, match="illegal move"), own_ledger.database.engine.begin() as connection:
        connection.execute(update(job).values(status=wrong))


def test_every_process_asks_for_the_newest_migration() -> None:
    assert (
        ScriptDirectory(str(ROOT / "jobyard" / "jobs" / "migrations")).get_current_head() == EXPECTED_VERSION
    )


def test_the_migrations_make_what_the_schema_says(own_ledger: Ledger) -> None:
    with own_ledger.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_a_migration_goes_back_and_forth_with_the_jobs_in_their_places(own_ledger: Ledger) -> None:
    own_ledger.accept([NewJob(id=new_id(), task="any", payload="{}", max_attempts=1)])
    with own_ledger.database.engine.connect() as connection:
        command.downgrade(_config(connection), "0005")
        connection.commit()
        before = {index["name"] for index in inspect(connection).get_indexes("job")}
    assert {"ix_job_queued", "ix_job_status_id", "ix_job_task_status_id"} <= before
    migrate(own_ledger.database)
    with own_ledger.database.engine.connect() as connection:
        after = {index["name"] for index in inspect(connection).get_indexes("job")}
    assert after == {index.name for index in job.indexes}
    assert len(list_jobs(own_ledger.database, JobFilter(task="any", status=[Status.QUEUED]), 10).jobs) == 1


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobyard.db").write_text("a letter to a friend, and not a database at all" * 100)
    with pytest.raises(
        LedgerUnavailableError, match=r"jobyard\.db is no SQLite database.*JOBYARD_LEDGER__URL"
    ):
        migrate(open_database(Settings(home=tmp_path)))


@pytest.fixture
def postgresql() -> Iterator[Any]:
    with new_database() as url:
        yield make_url(url)


@pytest.mark.postgresql
def test_the_tables_stand_apart_from_those_of_an_application(postgresql: Any) -> None:
    own = create_engine(postgresql)
    with own.begin() as connection:
        connection.execute(text("CREATE TABLE job (mine text)"))
    database = open_database(Settings(ledger=LedgerSettings(url=as_text(postgresql))))
    migrate(database)
    with own.begin() as connection:
        connection.execute(text("INSERT INTO job VALUES ('is still here')"))
        assert connection.execute(text("SELECT count(*) FROM jobyard.job")).scalar_one() == 0
    own.dispose()
    database.close()


@pytest.mark.postgresql
def test_a_user_without_rights_is_told_which_one_to_give(postgresql: Any) -> None:
    owner, name = create_engine(postgresql), f"poor_{uuid4().hex}"
    with owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x'"))
    poor = open_database(
        Settings(ledger=LedgerSettings(url=as_text(postgresql.set(username=name, password="x"))))
    )
    try:
        with pytest.raises(LedgerUnavailableError, match="owner of the schema 'jobyard'"):
            migrate(poor)
        with owner.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA jobyard AUTHORIZATION {name}"))
        migrate(poor)
        check_is_migrated(poor)
    finally:
        poor.close()
        with owner.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {name} CASCADE"))
            connection.execute(text(f"DROP ROLE {name}"))
        owner.dispose()


@pytest.mark.postgresql
def test_a_ledger_that_can_only_be_read_says_so(postgresql: Any) -> None:
    database = open_database(Settings(ledger=LedgerSettings(url=as_text(postgresql))))
    migrate(database)
    with database.engine.begin() as connection:
        connection.execute(
            text(f"ALTER DATABASE {postgresql.database} SET default_transaction_read_only = on")
        )
    database.close()
    ledger = Ledger(database, Settings())
    with pytest.raises(LedgerUnavailableError, match="can only be read"):
        ledger.accept([NewJob(id=new_id(), task="any", payload="{}", max_attempts=1)])
    database.close()


def as_text(url: Any) -> str:
    return str(url.render_as_string(hide_password=False))

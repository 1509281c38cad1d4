"""What is said when the ledger cannot be used, and that it is safe on disk."""

import re
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from config.sections import LedgerSettings
from config.settings import Settings
from jobs.clock import db_now, utc_now
from jobs.database import make_engine, make_sqlite_file, reading, writing
from jobs.errors import LedgerUnavailableError
from jobs.job import FINAL, MOVES, NewJob, Status
from jobs.ledger import Ledger
from jobs.migrate import check_is_migrated, migrate
from jobs.schema import job, metadata
from tests.support.processes import ROOT


def test_a_ledger_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    engine = make_engine(Settings(home=tmp_path))
    make_sqlite_file(engine)
    with pytest.raises(LedgerUnavailableError, match="make migrate"), reading(engine) as connection:
        connection.execute(text("SELECT * FROM job"))
    with pytest.raises(LedgerUnavailableError, match="make migrate"):
        check_is_migrated(engine)


def test_looking_for_a_ledger_where_there_is_none_makes_none(tmp_path: Path) -> None:
    engine = make_engine(Settings(home=tmp_path / "mistyped"))
    with (
        pytest.raises(LedgerUnavailableError, match=r"no ledger at .*mistyped.*JOBYARD_HOME"),
        writing(engine),
    ):
        pass
    assert not (tmp_path / "mistyped").exists()


def test_a_ledger_that_cannot_be_reached_names_the_setting_and_no_password() -> None:
    url = "postgresql+psycopg://someone:secret@127.0.0.1:1/nowhere"
    engine = make_engine(Settings(ledger=LedgerSettings(url=url)))
    with pytest.raises(LedgerUnavailableError, match="JOBYARD_LEDGER__URL") as error, writing(engine):
        pass
    assert "secret" not in str(error.value)


def test_a_ledger_in_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LedgerUnavailableError, match="taken"):
        migrate(make_engine(Settings(home=tmp_path / "taken")))


def test_sqlite_commits_to_disk_and_keeps_readers_apart_from_writers(tmp_path: Path) -> None:
    engine = make_engine(Settings(home=tmp_path))
    make_sqlite_file(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_migrating_twice_changes_nothing(own_ledger: Ledger) -> None:
    version = migrate(own_ledger.engine)
    assert migrate(own_ledger.engine) == version
    check_is_migrated(own_ledger.engine)


def test_a_ledger_of_another_version_is_refused_with_both_versions(own_ledger: Ledger) -> None:
    with writing(own_ledger.engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerUnavailableError, match=r"9999.*needs"):
        check_is_migrated(own_ledger.engine)


def test_the_ledgers_clock_is_the_time_and_keeps_its_zone(own_ledger: Ledger) -> None:
    with reading(own_ledger.engine) as connection:
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
    own_ledger.accept([NewJob(task="any", payload="{}", max_attempts=1)])
    with pytest.raises(DBAPIError, match="illegal move"), own_ledger.engine.begin() as connection:
        connection.execute(update(job).values(status=wrong))


def test_the_migrations_make_what_the_schema_says(own_ledger: Ledger) -> None:
    with own_ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []

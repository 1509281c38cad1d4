"""A migration on a ledger that is in use: it waits for others where it must, and nobody waits for it."""

import threading
from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, inspect, text

from jobyard.jobs.database.ledger_database import LedgerDatabase, open_database
from jobyard.jobs.database.migrate import _config, _migration_lock
from jobyard.jobs.job import NewJob, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgresql

BUILDING = """
SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'CREATE%INDEX CONCURRENTLY%' AND state = 'active'
"""


@pytest.fixture
def before_index(postgresql_ledger: Ledger) -> Ledger:
    """A ledger as it is while 0010 builds its index."""
    with postgresql_ledger.database.engine.begin() as connection:
        connection.execute(text("DROP INDEX jobyard.ux_job_external_id"))
        connection.execute(text("UPDATE jobyard.alembic_version SET version_num = '0009'"))
    return postgresql_ledger


@pytest.fixture
def onlooker(before_index: Ledger) -> Iterator[Connection]:
    """A connection that asks the server what it does."""
    with before_index.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def work_once(ledger: Ledger) -> None:
    """Take a few jobs from acceptance to their end."""
    new = [NewJob(id=new_id(), task="bad.deed", payload="{}", max_attempts=3) for _ in range(5)]
    ids = [acceptance.job_id for acceptance in ledger.accept(new)]
    held = ledger.claim(ids, "w")
    assert len(ledger.settle([Succeeded(job.id, job.attempt, "1") for job in held])) == 5


def build_index(database: LedgerDatabase) -> None:
    with database.engine.connect() as connection, _migration_lock(connection):
        command.upgrade(_config(connection), "0010")
        connection.commit()


def indexes(engine: Engine) -> set[str]:
    return {str(index["name"]) for index in inspect(engine).get_indexes("job", schema="jobyard")}


def test_indexes_are_built_while_the_yard_accepts_claims_and_settles(
    before_index: Ledger, onlooker: Connection
) -> None:
    ledger = before_index
    assert "ux_job_external_id" not in indexes(ledger.database.engine)
    # Somebody's transaction that has written and goes on: an index is not ready before it ends, and one that
    # was built in the ordinary way would lock the table behind it for everybody.
    with ledger.database.engine.connect() as slow:
        slow.execute(text("UPDATE job SET attempt = attempt"))
        migrator = open_database(ledger._settings)
        migrating = threading.Thread(target=build_index, args=[migrator], daemon=True)
        migrating.start()
        wait_until(lambda: onlooker.execute(text(BUILDING)).scalar_one(), 20, "the index to be begun")
        for _ in range(20):
            work_once(ledger)
        assert migrating.is_alive()
        slow.rollback()
    migrating.join(timeout=30)
    migrator.close()
    assert not migrating.is_alive()
    assert "ux_job_external_id" in indexes(ledger.database.engine)
    assert onlooker.execute(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")).scalar_one() == 0
    work_once(ledger)

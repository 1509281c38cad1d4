"""Jobs in the transactions of programs that are killed, with a keeper that looks seldom (rows 22 and 23)."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from jobyard.jobs.job import Status
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.postgresql import new_database

ORDER = """
import os, signal, sys
from sqlalchemy import create_engine, text
from jobyard.settings import get_settings
from tests.support.bad_tasks import Deed, deed

engine = create_engine(get_settings().ledger_url)
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE IF NOT EXISTS shop_order (number integer)"))
with engine.connect() as connection:
    connection.execute(text("INSERT INTO shop_order VALUES (1)"))
    print(deed.submit(Deed(journal=sys.argv[1]), connection=connection).id, flush=True)
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    connection.commit()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def on_postgresql(tmp_path: Path) -> Iterator[OwnYard]:
    """A yard whose keepers look once a minute, unless they are rung for."""
    seldom = {"JOBYARD_KEEPER__INTERVAL": "60", "JOBYARD_WORKER__LEASE": "180"}
    with (
        new_database() as url,
        opened(tmp_path, QUICK | seldom | {"JOBYARD_LEDGER__URL": url}) as yard,
    ):
        yield yard


def killed_program(yard: OwnYard, when: str) -> str:
    ended = yard.run_code(ORDER, str(yard.journal), when)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return ended.stdout.strip()


def orders(yard: OwnYard) -> int:
    with yard.ledger.database.engine.connect() as connection:
        table = "shop_order" if connection.dialect.name == "sqlite" else "public.shop_order"
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def test_on_sqlite_an_order_and_its_job_are_both_there_or_neither(own: OwnYard) -> None:
    own.start_worker()
    killed_program(own, "before")
    assert (orders(own), own.everything()) == (0, [])
    job_id = killed_program(own, "after")
    assert orders(own) == 1
    own.wait_for([job_id], Status.SUCCEEDED)


@pytest.mark.postgresql
def test_on_postgresql_too_and_the_commit_itself_rings(on_postgresql: OwnYard) -> None:
    own = on_postgresql
    worker = own.start_worker()
    own.wait_until(lambda: is_listened_to(own), 20, "the keeper to listen")
    killed_program(own, "before")
    assert (orders(own), own.everything()) == (0, [])
    job_id = killed_program(own, "after")
    assert orders(own) == 1
    own.wait_for([job_id], Status.SUCCEEDED, seconds=30)  # the keeper's own next look is a minute away
    assert worker.stop() == 0


@pytest.mark.postgresql
def test_a_keeper_that_lost_its_bell_listens_again(on_postgresql: OwnYard) -> None:
    own = on_postgresql
    own.start_worker()
    own.wait_until(lambda: is_listened_to(own), 20, "the keeper to listen")
    with own.ledger.database.engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {LISTENING}")
    own.wait_until(lambda: is_listened_to(own), 20, "the keeper to listen again")
    own.wait_for([killed_program(own, "after")], Status.SUCCEEDED, seconds=30)


@pytest.mark.postgresql
def test_a_program_in_another_language_submits_in_its_transaction(on_postgresql: OwnYard) -> None:
    own = on_postgresql
    own.start_worker()
    own.wait_until(lambda: is_listened_to(own), 20, "the keeper to listen")
    url = make_url(own.settings["JOBYARD_LEDGER__URL"]).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute("CREATE TABLE shop_order AS SELECT 1 AS number")
        row = connection.execute(
            "SELECT job_id FROM jobyard.submit('bad.deed', '{\"text\": \"sql\"}')"
        ).fetchone()
    assert row is not None
    own.wait_for([str(row[0])], Status.SUCCEEDED, seconds=30)
    assert own.job(str(row[0])).result == '{"said":"sql"}'


LISTENING = "FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN jobyard'"


def is_listened_to(yard: OwnYard) -> bool:
    with yard.ledger.database.engine.connect() as connection:
        return bool(connection.exec_driver_sql(f"SELECT count(*) {LISTENING}").scalar_one())

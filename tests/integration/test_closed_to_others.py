"""What other users of the machine cannot do: speak to the embedded Valkey, or read data and passwords."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.files.object_store import open_store
from jobyard.jobs.files.store import FileStore
from jobyard.local.preflight import close_home_to_others
from jobyard.settings import Settings
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

OTHERS = stat.S_IRWXO


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_the_embedded_valkey_wants_the_password_which_no_command_line_shows(tmp_path: Path) -> None:
    yard = YardProcesses(tmp_path)
    valkey = yard.start_valkey()
    try:
        with Redis(port=yard.port("VALKEY")) as stranger, pytest.raises(AuthenticationError):
            stranger.flushall()
        with Redis.from_url(yard.valkey_url) as client:
            client.set("key", "value")
            password = client.connection_pool.connection_kwargs["password"]
        assert password not in " ".join(psutil.Process(valkey.process.pid).cmdline())
        log = tmp_path / "valkey" / "appendonlydir"
        wait_until(lambda: any(log.iterdir()), 10, "the append-only file")
        for path in (tmp_path / "valkey", *(tmp_path / "valkey").rglob("*"), tmp_path / "valkey.password"):
            assert not path.stat().st_mode & OTHERS, path
    finally:
        yard.stop_everything()


@pytest.mark.usefixtures("usual_umask")
def test_a_new_ledger_and_file_store_are_closed_to_others(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    database = open_database(settings)
    migrate(database)
    FileStore(open_store(settings.files_url), database, 100).save(b"abc", name="letter")
    wal = tmp_path / "jobyard.db-wal"
    assert wal.exists()
    for path in (tmp_path / "jobyard.db", wal, tmp_path / "files"):
        assert not path.stat().st_mode & (stat.S_IRWXO | stat.S_IRWXG), path
    database.close()


@pytest.mark.usefixtures("usual_umask")
def test_a_start_closes_what_earlier_versions_left_open_and_leaves_the_group_its_rights(
    tmp_path: Path,
) -> None:
    ledger, files = tmp_path / "jobyard.db", tmp_path / "files"
    ledger.touch(mode=0o644)
    files.mkdir(mode=0o755)
    close_home_to_others(tmp_path)
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o640
    assert stat.S_IMODE(files.stat().st_mode) == 0o750

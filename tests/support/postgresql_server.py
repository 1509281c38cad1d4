"""A PostgreSQL of a test's own, which can be frozen, killed and started; skipped where none is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.processes import free_port

_SUPERUSER = "postgres"
# PostgreSQL refuses to run as root.
_RUNS_AS = _SUPERUSER if os.geteuid() == 0 else None


def _program(name: str) -> str:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, installed)])
    if found := shutil.which(name, path=path):
        return found
    reason = f"PostgreSQL is not installed: there is no {name}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class PostgreSQLServer:
    """A server in a folder."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._data = home / "data"
        self._run("initdb", "--auth=trust", f"--username={_SUPERUSER}", "--no-sync", f"--pgdata={self._data}")
        options = f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(options)
        self._control("start")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{_SUPERUSER}@127.0.0.1:{self.port}/postgres"

    def keep_commits_waiting(self) -> None:
        """From now on a commit is on disk, and its answer waits for a standby that does not exist."""
        self._configure("synchronous_standby_names = 'nobody'")
        self._control("reload")

    def restart_amid_commits(self) -> None:
        """Restart as after a crash; commits need not wait any longer."""
        self._configure("synchronous_standby_names = ''")
        self.restart()

    def restart(self) -> None:
        """Restart as after a crash: no connection is told anything."""
        self._control("restart", "--mode=immediate")

    def freeze(self) -> None:
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def close(self) -> None:
        self.thaw()
        self._control("stop", "--mode=immediate")

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        return [server, *server.children()]

    def _configure(self, line: str) -> None:
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.write(f"{line}\n")

    def _control(self, command: str, *options: str) -> None:
        log = self._data / "server.log"
        self._run("pg_ctl", command, "--wait", f"--pgdata={self._data}", f"--log={log}", *options)

    def _run(self, program: str, *arguments: str) -> None:
        # With files for its output, and not pipes, which the server would inherit and keep open.
        subprocess.run(
            [_program(program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._data.parent,
            user=_RUNS_AS,
        )


@contextmanager
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """Run a server for the block."""
    _program("initdb")
    # Not in pytest's own folder, which only its user may enter.
    with tempfile.TemporaryDirectory(prefix="jobyard-postgresql-") as folder:
        home = Path(folder)
        if _RUNS_AS is not None:
            shutil.chown(home, _RUNS_AS)
        server = PostgreSQLServer(home)
        try:
            yield server
        finally:
            server.close()

"""A process beside the server that commits groups of jobs and rings for them: `python -m api.beside FD`.

The server's event loop and the ledger's work would take turns at one interpreter; so they have two. What is
asked twice is committed once, since a job brings its id along: whoever finds the process gone may ask again,
or do it by itself.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import structlog

from config.collector import spare_the_collector
from config.log_setup import set_up_logging
from config.settings import Settings, get_settings
from jobs.errors import LedgerUnavailableError
from jobs.job import Acceptance, NewJob
from jobs.ledger import Ledger, get_ledger
from tasks.submission import ring_for

log = structlog.get_logger()

ROOT: Final = Path(__file__).resolve().parents[1]
READY: Final = "ready"
# What it has rung for is sent before it goes, which takes no longer than a broker may be silent.
LONGEST_END_SECONDS: Final = 10.0

# Acceptances, why the ledger is out of reach, or None where the asker should see for itself.
Answer = list[Acceptance] | str | None


class ProcessLostError(Exception):
    """The process is gone, or does not answer: whether it has committed is unknown."""


class Beside:
    """The server's end; for one thread."""

    def __init__(self, settings: Settings) -> None:
        # No statement waits longer than that for another writer, nor for a server.
        self._patience = (settings.ledger.busy_timeout + settings.ledger.timeout).total_seconds()
        self._is_ready = False
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "api.beside", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            )
            self._connection: Connection = Connection(ours.detach())

    def is_ready(self) -> bool:
        """Tell whether it has started by now; raises `ProcessLostError` where it could not."""
        if not self._is_ready and self._connection.poll():
            self._is_ready = self._hear() == READY
            log.info("large groups are committed in a process beside the server", pid=self._process.pid)
        return self._is_ready

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance] | None:
        """Commit jobs there; None where it met a fault, which whoever asks should meet as well.

        Raises `LedgerUnavailableError`, and `ProcessLostError`.
        """
        try:
            self._connection.send(new_jobs)
        except OSError as error:
            raise ProcessLostError(repr(error)) from error
        answer = self._hear()
        if isinstance(answer, str):
            raise LedgerUnavailableError(answer)
        return answer

    def close(self) -> None:
        """Let it finish and go."""
        self._connection.close()
        try:
            self._process.wait(LONGEST_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _hear(self) -> Answer:
        try:
            if not self._connection.poll(self._patience):
                raise ProcessLostError(f"no answer for {self._patience:.0f} s")
            answer: Answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ProcessLostError(repr(error)) from error
        return answer


def serve(connection: Connection, ledger: Ledger) -> None:
    """Answer until the other end is closed, or its process is gone."""
    connection.send(READY)
    while True:
        new_jobs: list[NewJob] = connection.recv()
        try:
            acceptances = ledger.accept(new_jobs)
        except LedgerUnavailableError as error:
            connection.send(str(error))
        except Exception:
            connection.send(None)
        else:
            connection.send(acceptances)
            ring_for(new_jobs, acceptances)


def main() -> None:
    # It ends when its server does, which may have requests to finish after a Ctrl-C for all of them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    set_up_logging(get_settings().log)
    ledger = get_ledger()
    spare_the_collector()
    with Connection(int(sys.argv[1])) as connection, suppress(EOFError, OSError):
        serve(connection, ledger)


if __name__ == "__main__":
    main()

"""The API's server: one process, or several complete API processes that share the port."""

import os
import signal
import socket
import sys
from time import sleep
from typing import Final

import structlog
import uvicorn

from jobyard.http.fast_lane.uvicorn_names import http_protocol
from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.errors import JobyardError
from jobyard.settings import Settings, SettingsError, load_settings
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.processes import end_with_parent

log = structlog.get_logger()

# How long a server waits after a SIGTERM for open requests; idle keep-alive connections get no longer.
GRACE_SECONDS: Final = 5
# The pause before a restart where a process ended within this time of its own start.
RESTART_AFTER_SECONDS: Final = 1.0
SIGNALS: Final = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Serve until a SIGTERM or Ctrl-C; exit with an error message where the API cannot start."""
    try:
        settings = load_settings()
        config = _config(settings)
        _check_parts()
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    if settings.api.processes == 1:
        uvicorn.Server(config).run()
    else:
        ServerProcesses(config, settings.api.processes).run()


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "jobyard.http.app:create_app",
        factory=True,
        http=http_protocol(),
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _check_parts() -> None:
    # Checked here to exit with one sentence, which uvicorn would bury in a traceback. The tasks read the
    # settings when they are imported, so the settings are checked before this import.
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    check_is_migrated(get_database())


class ServerProcesses:
    """Forks server processes on one listening socket, and restarts each that ends.

    The application is loaded before the first fork, so the processes share its memory. This process serves
    no requests itself: it has no threads and no event loop, which would not survive a fork.
    """

    def __init__(self, config: uvicorn.Config, processes: int) -> None:
        self._config, self._processes = config, processes
        self._started: dict[int, float] = {}
        self._is_stopping = False

    def run(self) -> None:
        """Return once every process has ended after a SIGTERM or Ctrl-C."""
        self._config.load()
        freeze_objects()
        listening = self._config.bind_socket()
        listening.listen(self._config.backlog)  # requests wait while no process serves, instead of failing
        # Signals wait until this loop asks for them: none arrives between a fork and its entry in the list.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for _ in range(self._processes):
            self._start(listening)
        while self._started:
            if signal.sigwait(SIGNALS) == signal.SIGCHLD:
                self._replace_ended(listening)
            else:
                self._stop()

    def _start(self, listening: socket.socket) -> None:
        child = os.fork()
        if child == 0:
            end_with_parent()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            uvicorn.Server(self._config).run(sockets=[listening])
            os._exit(0)
        self._started[child] = monotonic()

    def _replace_ended(self, listening: socket.socket) -> None:
        for child in list(self._started):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                continue
            started = self._started.pop(child)
            if self._is_stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            log.error("an API process ended, another is started", pid=child, exit_code=code)
            if monotonic() - started < RESTART_AFTER_SECONDS:
                sleep(RESTART_AFTER_SECONDS)
            self._start(listening)

    def _stop(self) -> None:
        self._is_stopping = True
        for child in self._started:
            os.kill(child, signal.SIGTERM)

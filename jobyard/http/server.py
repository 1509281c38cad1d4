"""The API's server: one process, or several that share the port; each of those is a whole API."""

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

# Requests under way get so long after a SIGTERM; clients that keep a connection open get no longer.
GRACE_SECONDS: Final = 5
# Between two starts of a process that ends as soon as it is started.
START_AGAIN_AFTER_SECONDS: Final = 1.0


def main() -> None:
    """Serve until a SIGTERM or Ctrl-C; ends the program with a sentence where it cannot."""
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
    # Said here in a sentence, which uvicorn would bury in a traceback. The tasks read the settings when
    # they are imported, so that comes after the settings were found right.
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    check_is_migrated(get_database())


class ServerProcesses:
    """Forks servers on one listening socket, and starts another where one has ended.

    All of them are loaded before the first fork, so they share what they have loaded. This process serves
    nothing itself: it has no threads and no event loop, which would not survive a fork.
    """

    def __init__(self, config: uvicorn.Config, number: int) -> None:
        self._config, self._number = config, number
        self._started: dict[int, float] = {}
        self._is_stopping = False

    def run(self) -> None:
        """Return once every process has ended after a SIGTERM or Ctrl-C."""
        self._config.load()
        freeze_objects()
        listening = self._config.bind_socket()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        for _ in range(self._number):
            self._start(listening)
        while self._started:
            self._wait_for_one(listening)

    def _start(self, listening: socket.socket) -> None:
        child = os.fork()
        if child == 0:
            end_with_parent()
            uvicorn.Server(self._config).run(sockets=[listening])
            os._exit(0)
        self._started[child] = monotonic()

    def _wait_for_one(self, listening: socket.socket) -> None:
        child, status = os.waitpid(-1, 0)
        started = self._started.pop(child, None)
        if started is None or self._is_stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        log.error("an API process ended, another is started", pid=child, exit_code=code)
        if monotonic() - started < START_AGAIN_AFTER_SECONDS:
            sleep(START_AGAIN_AFTER_SECONDS)
        if not self._is_stopping:
            self._start(listening)

    def _stop(self) -> None:
        self._is_stopping = True
        for child in self._started:
            os.kill(child, signal.SIGTERM)

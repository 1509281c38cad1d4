"""The API's server: uvicorn with the fast lane, on the host and port of the settings."""

import signal
import sys
from typing import Final

import structlog
import uvicorn

from jobyard.http.fast_lane.uvicorn_names import http_protocol
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.schema_version import wait_until_migrated
from jobyard.jobs.errors import JobyardError
from jobyard.settings import SettingsError, load_settings
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.processes import raise_descriptor_limit

log = structlog.get_logger()

# How long the server waits after a SIGTERM for open requests; idle keep-alive connections get no longer.
GRACE_SECONDS: Final = 5


def main() -> None:
    """Serve until a SIGTERM or Ctrl-C; exit with an error message where the API cannot start."""
    try:
        settings = load_settings()
        set_up_logging(settings.log)
        raise_descriptor_limit()
        _check_parts()
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    _stop_on_hangup()
    uvicorn.run(
        "jobyard.http.app:create_app",
        factory=True,
        http=http_protocol(),
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _stop_on_hangup() -> None:
    # Uvicorn has no handler for SIGHUP, which would end this process in the middle of its requests. A program
    # such as nohup has it ignored, and then it stays so.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return

    def stop(*_: object) -> None:
        log.info("SIGHUP: stopping as on SIGTERM")
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGHUP, stop)


def _check_parts() -> None:
    # Checked here to exit with one sentence, which uvicorn would bury in a traceback. The tasks read the
    # settings when they are imported, so the settings are checked before this import.
    from jobyard.broker.receivers import check_receivers
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    check_receivers()
    wait_until_migrated(get_database())

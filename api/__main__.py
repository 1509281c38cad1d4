"""`python -m api`: the API on the host and port of the settings."""

import sys

import uvicorn

from jobyard.jobs.database.engine import get_engine
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.errors import JobyardError
from jobyard.settings.settings import SettingsError, load_settings


def main() -> None:
    try:
        settings = load_settings()
        _check_parts()
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    uvicorn.run(
        "api.app:app",
        http="jobyard.http.accept.protocol:Protocol",
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


def _check_parts() -> None:
    # Said here in a sentence, which uvicorn would bury in a traceback. The tasks read the settings when
    # they are imported, so that comes after the settings were found right.
    from jobyard.tasks.registry import load_tasks

    load_tasks()
    check_is_migrated(get_engine())


if __name__ == "__main__":
    main()

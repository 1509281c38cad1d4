"""A ledger set back to an older backup, with the commands of docs/operations.md: what becomes of each job."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from jobyard.jobs.errors import JobNotFoundError
from jobyard.jobs.job import Status
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.postgresql import new_database
from tests.support.processes import ROOT

pytestmark = pytest.mark.timeout(180)

PAGE = (ROOT / "docs/operations.md").read_text()


def command(heading: str) -> str:
    """Return the line of shell that the page gives after these words."""
    [found] = re.findall(rf"{re.escape(heading)}:\n\n```\n(.+)\n```", PAGE)
    return str(found)


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.postgresql)])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OwnYard, str]]:
    """A yard, and the database that its ledger is in."""
    if request.param == "SQLite":
        with opened(tmp_path, dict(QUICK)) as own:
            yield own, request.param
    else:
        if shutil.which("pg_dump") is None and "CI" not in os.environ:
            pytest.skip("needs pg_dump (Debian: postgresql-client)")
        with new_database() as url, opened(tmp_path, QUICK | {"JOBYARD_LEDGER__URL": url}) as own:
            yield own, request.param


def run(own: OwnYard, line: str) -> None:
    """Run a line of the page in the yard's own folder, as somebody would type it."""
    url = own.settings.get("JOBYARD_LEDGER__URL")
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False) if url else ""
    environment = own.environment | {"LEDGER": plain, "JOBYARD_HOME": str(own.home)}
    done = subprocess.run(line, shell=True, env=environment, cwd=own.home, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_job_that_the_backup_knows_comes_to_its_end_and_later_ones_do_no_harm(
    yard: tuple[OwnYard, str],
) -> None:
    own, database = yard
    worker = own.start_worker()
    done, running = own.hand_in(how_many=5), own.hand_in("sleep", seconds=2)
    later = own.hand_in(how_many=5, delay=timedelta(seconds=5))
    own.wait_for(done, Status.SUCCEEDED)
    own.wait_to_begin(running[0])
    run(own, command(f"A backup of {database}, while everything runs"))
    afterwards = own.hand_in(how_many=5)
    own.wait_for(afterwards + running + later, Status.SUCCEEDED)

    assert worker.stop() == 0
    own.ledger.database.close()
    run(own, command(f"{database} set back, when everything is stopped"))
    assert [job.status for job in own.jobs(done)] == [Status.SUCCEEDED] * 5
    assert {job.status for job in own.jobs(running + later)} == {Status.RUNNING, Status.SCHEDULED}
    own.publish(afterwards)  # the broker may remember what the ledger does not
    own.publish(done)

    again = own.start_worker()
    own.wait_for(running + later, Status.SUCCEEDED)
    own.wait_for(own.hand_in(how_many=3), Status.SUCCEEDED)
    own.wait_until(lambda: own.broker.depth() == 0, 10, "the old messages to be dropped")
    for job_id in afterwards:
        with pytest.raises(JobNotFoundError):
            own.job(job_id)
    assert [job.attempt for job in own.jobs(done)] == [1] * 5
    assert again.process.poll() is None

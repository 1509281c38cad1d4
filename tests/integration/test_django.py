"""A Django project's tasks: set up before they are imported, and no connection outlives its job."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from jobyard.jobs.job import NewJob, Status, new_id
from tests.support.own_yard import QUICK, OwnYard, opened

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnYard]:
    """A yard that serves a Django project, on threads and in child processes."""
    home = tmp_path_factory.mktemp("yard")
    with closing(sqlite3.connect(home / "orders.db")) as database:
        database.execute("CREATE TABLE django_project_order (id INTEGER PRIMARY KEY, number INTEGER)")
    with opened(home, QUICK | {"JOBYARD_TASKS__MODULES": "tests.support.django_project.tasks"}) as yard:
        yard.extra |= {
            "DJANGO_SETTINGS_MODULE": "tests.support.django_project.settings",
            "DJANGO_DATABASE": str(home / "orders.db"),
        }
        yard.start_worker("threads", 1, "default")
        yard.start_worker("prefork", 1, "images")
        yield yard


def run(own: OwnYard, task: str, queue: str, how_many: int) -> list[dict[str, Any]]:
    """Run jobs, and return what they have found."""
    new = [NewJob(new_id(), task, '{"number":7}', 1, queue=queue) for _ in range(how_many)]
    jobs = [acceptance.job_id for acceptance in own.ledger.accept(new)]
    own.wait_for(jobs, Status.SUCCEEDED)
    return [json.loads(job.result or "") for job in own.jobs(jobs)]


@pytest.mark.parametrize("queue", ["default", "images"])
def test_no_job_finds_the_connection_of_an_earlier_one(own: OwnYard, queue: str) -> None:
    """Also in a bundle, whose jobs run one after another on one thread."""
    found = run(own, "orders.count", queue, 10)
    assert not any(one["was_open"] for one in found)
    assert max(one["queries_before"] for one in found) >= 9
    assert os.getpid() not in {one["pid"] for one in found}


@pytest.mark.parametrize("queue", ["default", "images"])
def test_no_coroutine_finds_the_connection_of_an_earlier_one(own: OwnYard, queue: str) -> None:
    """Those that run at once share Django's one thread, so they come one after another."""
    found = [one for _ in range(3) for one in run(own, "orders.count_async", queue, 1)]
    assert not any(one["was_open"] for one in found)
    assert max(one["queries_before"] for one in found) >= 2

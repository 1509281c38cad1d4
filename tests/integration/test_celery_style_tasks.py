"""Tasks of a program for Celery, whose imports were changed, on real workers of every kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from jobyard import JobHandle, JobOptions
from jobyard.broker.celery_app import app
from jobyard.jobs.database.schema import job as job_table
from jobyard.jobs.job import Cause, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_attempts
from jobyard.settings import get_settings
from jobyard.tasks.task import Task
from tests.support import celery_style_tasks
from tests.support.processes import YardProcesses
from tests.support.waiting import wait_until

SECONDS = 30


@pytest.fixture(scope="module", autouse=True)
def _prefork(worker: YardProcesses) -> Iterator[None]:
    """A worker with processes, which alone serves one of the queues meanwhile."""
    worker.start_worker("prefork", 2, queues="images")
    others = [name for name in app.control.inspect().ping() or {} if not name.startswith("prefork")]
    app.control.cancel_consumer("images", destination=others, reply=True)
    yield
    app.control.add_consumer("images", destination=others, reply=True)


def is_its_own(answer: dict[str, Any], job_id: str, number: int) -> bool:
    return bool(
        answer["id"] == answer["current"] == answer["celerys_current"] == job_id
        and answer["args"] == [number]
        and answer["retries"] == 0
    )


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        (celery_style_tasks.who, "default"),
        (celery_style_tasks.who_async, "default"),
        (celery_style_tasks.who, "images"),
    ],
    ids=["threads in bundles", "coroutines", "prefork"],
)
def test_each_job_has_its_own_request(task: Task[..., Any], queue: str) -> None:
    handles = task.submit_many(
        [task.payload(number) for number in range(20)], JobOptions(queue=queue, priority=7)
    )
    for number, handle in enumerate(handles):
        answer = handle.get(timeout=SECONDS)
        assert is_its_own(answer, handle.id, number), answer
        assert (answer["queue"], answer["priority"]) == (queue, 7)
        assert answer["hostname"].startswith("prefork" if queue == "images" else "threads")
        assert (answer["parent_id"], answer["root_id"]) == (None, handle.id)


def test_a_quarantined_job_has_its_own_request_in_its_own_process(ledger: Ledger) -> None:
    handle = celery_style_tasks.who.apply_async((4,), countdown=1)
    with ledger.database.writing() as connection:
        lost = get_settings().keeper.max_lost - 1
        connection.execute(update(job_table).where(job_table.c.id == handle.id).values(lost=lost))
    assert is_its_own(handle.get(timeout=SECONDS), handle.id, 4)


def test_a_job_is_known_to_its_task_by_the_callers_own_id() -> None:
    own = f"own-{new_id()}"
    handle = celery_style_tasks.who.options(external_id=own).delay(3)
    answer = handle.get(timeout=SECONDS)
    assert (answer["id"], answer["root_id"], answer["current"]) == (own, own, own)


def test_a_job_knows_who_handed_it_in() -> None:
    outer = celery_style_tasks.hand_in_who.delay()
    inner = celery_style_tasks.who.definition.name
    assert inner == "tests.support.celery_style_tasks.who"
    inner_id = outer.get(timeout=SECONDS)
    handle: JobHandle[Any] = JobHandle(inner_id, celery_style_tasks.who.definition.result_adapter)
    answer = handle.get(timeout=SECONDS)
    assert (answer["parent_id"], answer["root_id"]) == (outer.id, outer.id)


def test_retries_are_counted_and_their_reasons_kept(ledger: Ledger) -> None:
    handle = celery_style_tasks.call_until.delay(3)
    assert handle.get(timeout=SECONDS) == 3
    history = get_attempts(ledger.database, handle.id)
    assert [one.failure.message for one in history] == [f"{number} is not enough" for number in range(3)]
    assert {(one.failure.cause, one.failure.type) for one in history} == {(Cause.RETRY_LATER, "BusyError")}


def test_a_base_class_says_how_its_tasks_are_retried() -> None:
    assert celery_style_tasks.fetch.delay(2).get(timeout=SECONDS) == ["https://example.com", 2]


def test_used_up_retries_can_be_caught() -> None:
    assert celery_style_tasks.give_up.delay().get(timeout=SECONDS) == "gave up"


def test_what_ignores_itself_has_no_result(api: httpx.Client) -> None:
    handles = celery_style_tasks.ignore.submit_many([celery_style_tasks.ignore.payload()] * 3)
    for handle in handles:
        wait_until(handle.ready, SECONDS, "the end")
        assert (handle.job.status, handle.job.result) == (Status.SUCCEEDED, None)
        assert api.get(f"/v1/jobs/{handle.id}/result").json() is None


def test_a_failure_by_hand_is_one() -> None:
    handle = celery_style_tasks.fail_by_hand.delay()
    wait_until(handle.ready, SECONDS, "the end")
    job = handle.job
    assert job.status is Status.DEAD
    assert job.failure is not None
    assert (job.failure.type, job.failure.message) == ("BusyError", "no time")


def test_how_far_a_job_is_can_be_seen_over_http(api: httpx.Client, tmp_path: Path) -> None:
    until = tmp_path / "go on"
    handle = celery_style_tasks.count_rows.delay(500, str(until))

    def shown() -> tuple[str, str | None, Any]:
        job = api.get(f"/v1/jobs/{handle.id}").json()
        return job["status"], job["state"], job["progress"]

    last = {"current": 500, "total": 500}
    wait_until(lambda: shown() == ("running", "PROGRESS", last), SECONDS, "the last state")
    assert (handle.state, handle.info, handle.result) == ("PROGRESS", last, last)
    until.touch()
    assert handle.get(timeout=SECONDS) == 500
    assert (handle.state, handle.info) == ("SUCCESS", 500)
    assert shown() == ("succeeded", "PROGRESS", last)


def test_what_is_tried_for_ever_has_no_most_attempts(api: httpx.Client) -> None:
    handle = celery_style_tasks.for_ever.delay()
    wait_until(lambda: handle.job.status is Status.RETRYING, SECONDS, "the first retry")
    assert api.get(f"/v1/jobs/{handle.id}").json()["max_attempts"] is None
    listed = {task["name"]: task["max_attempts"] for task in api.get("/v1/tasks").json()}
    assert (listed[celery_style_tasks.for_ever.name], listed[celery_style_tasks.give_up.name]) == (None, 2)
    accepted = api.post(f"/v1/tasks/{celery_style_tasks.for_ever.name}/jobs", json={}).json()
    assert accepted["max_attempts"] is None
    exported = api.get("/v1/jobs/export", params={"task": celery_style_tasks.for_ever.name}).text
    assert '"max_attempts":null' in exported
    api.post(f"/v1/jobs/{accepted['id']}/cancel")


def test_lines_of_a_task_logger_carry_the_job(worker: YardProcesses) -> None:
    handle = celery_style_tasks.who.delay()
    handle.get(timeout=SECONDS)

    def is_logged() -> bool:
        lines = [line for program in worker.programs for line in program.output().splitlines()]
        return any("asked who it is" in line and handle.id in line for line in lines)

    wait_until(is_logged, SECONDS, "the line with the job's id")


WITH_DJANGO = """
import django
from django.conf import settings
from django.db import transaction
from sqlalchemy import func, select

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, USE_TZ=True
)
django.setup()

from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.schema import job
from tests.support.celery_style_tasks import give_up, who

def count():
    with get_database().reading() as connection:
        names = (who.name, give_up.name)
        return connection.execute(select(func.count()).where(job.c.task.in_(names))).scalar_one() - before

before = 0
before = count()
with transaction.atomic():
    who.delay_on_commit(number=1)
    give_up.apply_async_on_commit(countdown=3600)
    within = count()
committed = count()
try:
    with transaction.atomic():
        who.delay_on_commit(2)
        raise ValueError
except ValueError:
    pass
rolled_back = count()
who.delay_on_commit(3)
print(within, committed, rolled_back, count())
"""


def test_what_waits_for_djangos_commit_is_handed_in_with_it(worker: YardProcesses) -> None:
    ended = worker.run_code(WITH_DJANGO)
    assert (ended.returncode, ended.stdout.strip()) == (0, "0 2 2 3"), ended.stderr


def test_without_django_its_commit_is_refused_with_another_way(worker: YardProcesses) -> None:
    code = (
        "import sys; sys.modules['django'] = None\n"
        "from tests.support.celery_style_tasks import who\n"
        "try:\n    who.delay_on_commit(1)\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    said = worker.run_code(code).stdout
    assert said.startswith("CallRefusedError")
    assert "connection=" in said

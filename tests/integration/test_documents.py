"""What the pages tell a reader to write works as it is written there."""

import re
from pathlib import Path

import pytest

from examples.order_import import Order, book_order
from jobyard.jobs.job import new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job
from jobyard.jobs.reading.search import list_jobs
from jobyard.settings import get_settings
from jobyard.tasks.context import JobContext, running
from tests.support.processes import ROOT, YardProcesses

PAGES = {"README.md": "greeting.say", "docs/tasks.md": "report.make"}


@pytest.mark.parametrize(("page", "task"), PAGES.items())
def test_a_task_of_the_pages_is_a_task(page: str, task: str, tmp_path: Path) -> None:
    block = re.search(r"```python\n# (\w+)\.py\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / f"{block[1]}.py").write_text(block[2])
    yard = YardProcesses(tmp_path, {"JOBYARD_TASKS__MODULES": block[1]})
    yard.extra["PYTHONPATH"] = str(tmp_path)
    asked = yard.run_code("from jobyard.tasks.registry import load_tasks; print(*load_tasks())")
    assert task in asked.stdout.split(), asked.stderr


def test_every_file_that_the_pages_name_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"


def test_every_make_target_of_the_readme_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", (ROOT / "README.md").read_text())) <= targets


def test_the_example_books_an_order_once_however_often_its_job_runs() -> None:
    get_settings().home.mkdir(exist_ok=True)
    order = Order(customer="Ada", amount_cents=995)
    job_id = new_id()
    for attempt, was_new in ((1, True), (2, False), (3, False)):
        with running(JobContext(job_id, attempt)):
            assert book_order(order).was_new is was_new


def test_the_order_and_its_mail_are_committed_together(worker: YardProcesses, ledger: Ledger) -> None:
    ended = worker.run("examples.order_with_mail")
    assert (ended.returncode, ended.stderr) == (0, "")
    [job_id] = re.findall(r"^committed: the mail is job (\S+), and now \w+$", ended.stdout, re.MULTILINE)
    assert "rolled back, and no mail: order" in ended.stdout
    since = get_job(ledger.database, job_id).created_at
    mails = list_jobs(ledger.database, JobFilter(task="email.send", since=since), 9).jobs
    assert [job.id for job in mails] == [job_id]

"""A power cut: every process of the yard is killed in the middle of its work, and started again."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.waiting import wait_until
from tests.support.whole_yard import WholeYard, needs_proc, whole_yard

pytestmark = [needs_proc, pytest.mark.timeout(240)]

JOBS = 200


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[WholeYard]:
    quick = {"JOBYARD_WORKER__LEASE": "5", "JOBYARD_KEEPER__RESEND_AFTER": "5"}
    with whole_yard(tmp_path / "var", quick) as yard:
        yield yard


def test_two_hundred_jobs_all_end_each_recorded_once(own_yard: WholeYard, tmp_path: Path) -> None:
    own_yard.open()
    base = f"http://127.0.0.1:{own_yard.port('API')}"
    journal = tmp_path / "journal"
    order = {"then": "sleep", "seconds": 0.2, "journal": str(journal)}
    answer = httpx.post(f"{base}/v1/tasks/bad.deed/jobs/bulk", json=[order] * JOBS)
    accepted = answer.json()["ids"]
    assert (answer.status_code, len(accepted)) == (202, JOBS)

    wait_until(
        lambda: journal.exists() and len(runs(journal)) >= JOBS // 4, 60, "a part of the work to be done"
    )
    own_yard.kill_all()
    own_yard.open()

    wait_until(lambda: succeeded(base) == set(accepted), 90, "every job to succeed")
    attempts = [tuple(line.split(":")) for line in runs(journal)]
    assert {job_id for job_id, _ in attempts} == set(accepted)
    assert len(attempts) == len(set(attempts))  # a job may run twice, but no attempt does


def runs(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


def succeeded(base: str) -> set[str]:
    page = httpx.get(f"{base}/v1/jobs", params={"task": "bad.deed", "status": "succeeded", "limit": JOBS + 1})
    return {job["id"] for job in page.json()["jobs"]}

"""Fixtures for tests of tasks: `jobyard_inline` and `jobyard_worker`.

pytest finds this module by its entry point, in every run: it imports the engine only for a test that asks for
it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobyard.testing.recorded_jobs import RecordedJobs


@pytest.fixture
def jobyard_eager_propagates() -> bool:
    """Whether a job of `jobyard_inline` that fails raises where it is handed in: False; redefine it."""
    return False


@pytest.fixture
def jobyard_inline(jobyard_eager_propagates: bool) -> "Iterator[RecordedJobs]":
    """Run each job where it is handed in, on a ledger in memory; the value has the jobs that ran."""
    from jobyard.testing.eager_mode import eager

    with eager(propagate=jobyard_eager_propagates) as jobs:
        yield jobs


@pytest.fixture(scope="session")
def _jobyard_empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from jobyard.testing.worker_threads import LEDGER, worker

    folder = tmp_path_factory.mktemp("jobyard")
    with worker(folder, threads=0):
        return folder / LEDGER


@pytest.fixture
def jobyard_worker(tmp_path: Path, _jobyard_empty_ledger: Path) -> "Iterator[RecordedJobs]":
    """Run jobs on threads as a worker does, with a ledger in `tmp_path`; the value has the jobs."""
    from jobyard.testing.worker_threads import worker

    folder = tmp_path / "jobyard"
    folder.mkdir()
    with worker(folder, ledger=_jobyard_empty_ledger) as jobs:
        yield jobs

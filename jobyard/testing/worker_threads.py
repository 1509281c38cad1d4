"""`with worker(folder):`, in which threads of this process run jobs as a worker does."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from shutil import copyfile
from typing import Final

import structlog

from jobyard.broker.local_publisher import LocalPublisher
from jobyard.broker.publisher import get_publisher
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.job import QueuedJob
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.leases import get_leases
from jobyard.settings import Settings, get_settings
from jobyard.settings.locked_cache import fresh_caches
from jobyard.tasks.registry import known_task
from jobyard.testing.recorded_jobs import RecordedJobs
from jobyard.worker.execution.attempt_thread import get_attempt_thread
from jobyard.worker.execution.message import run_message
from jobyard.worker.execution.other_version import unknown_task
from jobyard.worker.keeper_thread import KeeperThread

log = structlog.get_logger()

NAME: Final = "testing"
# How soon a job that is due is found, such as one that is retried.
KEEPER_INTERVAL: Final = timedelta(milliseconds=50)
LEDGER: Final = "jobyard.db"


@contextmanager
def worker(folder: Path, *, threads: int = 4, ledger: Path | None = None) -> Iterator[RecordedJobs]:
    """Run the jobs that are handed in, on so many threads, with a ledger and files in `folder`.

    Leases, time limits, delays, retries and the keeper are a worker's own; messages stay in memory. The block
    gets the jobs; at its end, those that run are handed back. `ledger` is an empty one that is copied, which
    takes less time than making one.
    """
    with fresh_caches():
        get_settings.preset(_settings_in(folder))
        if ledger is not None:
            copyfile(ledger, folder / LEDGER)
        else:
            migrate(get_database())
        publisher = _InMemory()
        get_publisher.preset(publisher)
        keeper = KeeperThread()
        running = [threading.Thread(target=publisher.run_jobs, name=f"{NAME}-{n}") for n in range(threads)]
        for thread in running:
            thread.start()
        keeper.start()
        try:
            yield RecordedJobs(get_database())
        finally:
            keeper.stop()
            get_leases().hand_back_all()
            publisher.close(threads)
            for thread in running:
                thread.join()
            get_leases().close()
            get_database().close()


def _settings_in(folder: Path) -> Settings:
    settings = get_settings()
    changes = {
        "ledger": {"url": f"sqlite:///{folder.absolute() / LEDGER}"},
        "files": {"url": (folder.absolute() / "files").as_uri()},
        "tasks": {"eager": False},
        "keeper": {"interval": KEEPER_INTERVAL},
        "api": {"committer": False},
    }
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update={"home": folder, **sections})


class _InMemory(LocalPublisher):
    """Hands the jobs that it is given to the threads of this process."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs = SimpleQueue[QueuedJob | None]()

    def publish(self, jobs: Sequence[QueuedJob]) -> None:
        for job in jobs:
            self._jobs.put(job)

    def close(self, threads: int) -> None:
        for _ in range(threads):
            self._jobs.put(None)

    def run_jobs(self) -> None:
        """Run jobs one after another, until `close`."""
        while (job := self._jobs.get()) is not None:
            try:
                _run(job)
            except Exception as error:  # by which Celery would be told how the job ended
                log.debug("ended", job_id=job.id, reason=repr(error))
        with suppress(RuntimeError):
            get_attempt_thread().leave_behind()


def _run(job: QueuedJob) -> None:
    task = known_task(job.task)
    if task is None:
        get_ledger().put_off_unknown([job.id], unknown_task(job.task))
    else:
        run_message(task, [job.id], NAME)

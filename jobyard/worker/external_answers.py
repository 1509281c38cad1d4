"""Asks the result backend of stock Celery workers for the answers that external jobs wait for."""

from typing import Final

import structlog

from jobyard.broker.stock_celery import get_stock_celery
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.ledger.answered import make_due, waiting_jobs
from jobyard.tasks.external import external_tasks
from jobyard.worker.background_thread import BackgroundStep, BackgroundThread

log = structlog.get_logger()

INTERVAL_SECONDS: Final = 0.5
# The jobs that one pass asks about; the next pass goes on with the next ones.
MOST_IN_ONE_PASS: Final = 200


class AnswersThread(BackgroundThread):
    """Makes a pass every half second; does nothing in a worker without external tasks."""

    def __init__(self) -> None:
        super().__init__("answers")
        self._after = ""
        self._is_failing = False

    def start(self) -> None:
        if external_tasks:
            super().start()

    def pass_once(self) -> int:
        """Make jobs due whose answers have come; return how many."""
        database = get_ledger().database
        waiting = waiting_jobs(database, external_tasks, self._after, MOST_IN_ONE_PASS)
        self._after = waiting[-1] if len(waiting) == MOST_IN_ONE_PASS else ""
        answered = [job_id for job_id in waiting if get_stock_celery().answer(job_id) is not None]
        if answered:
            make_due(database, answered)
        return len(answered)

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            try:
                self.pass_once()
                self._is_failing = False
            except Exception as error:  # the jobs are due at their deadlines in any case
                log_event = log.debug if self._is_failing else log.warning
                log_event("answers of stock workers not read, trying again", reason=repr(error)[:300])
                self._is_failing = True


class AnswersStep(BackgroundStep):
    """Starts the thread with the worker, and stops it first."""

    def make_thread(self) -> BackgroundThread:
        return AnswersThread()

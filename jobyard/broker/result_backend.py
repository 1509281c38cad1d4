"""A result backend for programs with stock Celery: how the jobs ended that were made of their messages.

    app.conf.result_backend = "jobyard+postgresql://user:password@host/jobyard"

It only reads. `jobyard://` alone is the ledger of `JOBYARD_LEDGER__URL`. Large results are in the file store:
that of `JOBYARD_FILES__URL`, or on SQLite the folder `files` beside the ledger.
"""

import builtins
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, Never

import celery.exceptions
from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import ImproperlyConfigured, TaskRevokedError
from pydantic import ValidationError
from sqlalchemy import make_url

from jobyard.broker.celery_states import CELERY_STATES
from jobyard.broker.running_state import running_state
from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.errors import JobNotFoundError
from jobyard.jobs.files.claim_checks import ClaimChecks
from jobyard.jobs.files.object_store import open_store
from jobyard.jobs.job import Failure, Job, Status
from jobyard.jobs.reading.job_queries import get_attempts, get_job
from jobyard.settings import Settings, get_settings
from jobyard.settings.secrets import masked_url
from jobyard.settings.sections import LedgerSettings

SCHEME: Final = "jobyard"
READ_ONLY: Final = (
    "jobyard:// only tells how Jobyard's jobs ended. A worker that stores results of its own needs the "
    "result_backend that it had, and so do chords and saved groups"
)


class JobyardBackend(BaseBackend):
    """States and results by the ids of messages, or of jobs, from the ledger."""

    def __init__(self, app: Any, url: str | None = None, **options: Any) -> None:
        super().__init__(app, url=url, **options)
        self._settings = _settings_for(url)
        self._database = open_database(self._settings)
        self._claim_checks = ClaimChecks(
            partial(open_store, self._settings.files_url), self._settings.ledger.inline_bytes
        )

    def as_uri(self, include_password: bool = False) -> str:
        """Return the URL of the ledger, for logs."""
        url = f"{SCHEME}+{self._settings.ledger_url}"
        return url if include_password else masked_url(url)

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        job = self._find(task_id)
        if job is None:
            return {"status": states.PENDING, "result": None, "traceback": None, "task_id": task_id}
        failure = self._failure_of(job)
        state, result = CELERY_STATES[job.status], exception_of(failure) if failure else self._result_of(job)
        if job.status is Status.RUNNING:
            state, result = running_state(self._database, job)
        return {
            "task_id": task_id,
            "status": state,
            "result": result,
            "traceback": failure and failure.traceback,
            "children": [],
            "date_done": job.finished_at and job.finished_at.isoformat(),
            "name": job.task,
            "queue": job.queue,
            "retries": max(0, job.attempt - 1),
            "worker": job.worker,
        }

    def _find(self, task_id: str) -> Job | None:
        try:
            return get_job(self._database, task_id)
        except JobNotFoundError:
            return None

    def _result_of(self, job: Job) -> Any:
        if job.status is Status.SUCCEEDED and job.result is not None:
            return json.loads(self._claim_checks.fetch(job.id, job.result))
        if job.status in (Status.CANCELLED, Status.EXPIRED):
            return TaskRevokedError(str(job.status))
        return None

    def _failure_of(self, job: Job) -> Failure | None:
        if job.status not in (Status.DEAD, Status.RETRYING):
            return None
        attempts = get_attempts(self._database, job.id)
        return attempts[-1].failure if attempts else job.failure

    def store_result(self, *args: Any, **kwargs: Any) -> Never:
        """Overridden, because results are written by Jobyard's workers alone."""
        raise NotImplementedError(READ_ONLY)

    def _save_group(self, *args: Any, **kwargs: Any) -> Never:
        raise NotImplementedError(READ_ONLY)

    def apply_chord(self, *args: Any, **kwargs: Any) -> Never:
        """Overridden, because a chord counts its results in the backend."""
        raise NotImplementedError(READ_ONLY)

    def _forget(self, task_id: str) -> Never:
        raise NotImplementedError("how long jobs are kept is set by JOBYARD_LEDGER__RETENTION")


def exception_of(failure: Failure) -> BaseException:
    """Return the exception of a failed attempt; one whose class is not loaded here has its name alone."""
    try:
        return _class_of(failure)(failure.message)
    except Exception:  # a class with other parameters
        return Exception(f"{failure.type}: {failure.message}")


def _class_of(failure: Failure) -> type[Exception]:
    modules = (sys.modules.get(failure.module or ""), builtins, celery.exceptions)
    for module in modules:
        found = getattr(module, failure.type, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return type(failure.type, (Exception,), {"__module__": failure.module or SCHEME})


def _settings_for(url: str | None) -> Settings:
    settings = get_settings()
    if not url or url.rstrip("/") == f"{SCHEME}:":
        return settings
    try:
        checked = LedgerSettings(url=url).url
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ImproperlyConfigured(
            f"result_backend: {reason}; write jobyard+postgresql://user:password@host/database or "
            "jobyard+sqlite:////folder/jobyard.db"
        ) from error
    update: dict[str, Any] = {"ledger": settings.ledger.model_copy(update={"url": checked})}
    database = make_url(url)
    if database.get_backend_name() == "sqlite" and database.database and settings.files.url is None:
        update["home"] = Path(database.database).parent
    return settings.model_copy(update=update)

"""`JobHandle`, which every call returns: a job, with the names and words of Celery's `AsyncResult`."""

import asyncio
from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

from pydantic import TypeAdapter

from jobyard.broker.celery_states import CELERY_STATES, PENDING
from jobyard.broker.revoke import GOES_ON
from jobyard.broker.running_state import running_state
from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.errors import CallRefusedError, IllegalMoveError, JobNotFoundError, JobPrunedError
from jobyard.jobs.files.claim_checks import get_claim_checks
from jobyard.jobs.job import Acceptance, Job, Status, Verdict
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job, last_attempt
from jobyard.jobs.reading.search import matching_ids
from jobyard.tasks.context import running_job_id
from jobyard.tasks.registry import known_task
from jobyard.tasks.result_errors import JobFailedError, JobTimeoutError, failed_error

Out = TypeVar("Out")

FIRST_POLL_SECONDS: Final = 0.01
LONGEST_POLL_SECONDS: Final = 0.25
MOST_CHILDREN: Final = 1000
_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_ONE_ANSWER: Final = (
    "is not there: get() asks the ledger until the job has ended, and says nothing in between; for more, "
    "look at .state and .info, or ask GET /v1/jobs/{id} with Prefer: wait=N"
)
# Where a job has what Celery's `AsyncResult` has under these names.
_ELSEWHERE: Final = {
    **dict.fromkeys(("args", "kwargs"), "the arguments are .job.payload, as JSON"),
    **dict.fromkeys(("as_list", "as_tuple"), "keep .id, of which AsyncResult(id) makes a handle again"),
    "backend": "results are in the ledger, which .result and .get() read",
    **dict.fromkeys(
        ("build_graph", "collect", "get_leaf", "graph", "iterdeps"),
        "the jobs that it handed in are .children",
    ),
    "date_done": "the time is .job.finished_at",
    **dict.fromkeys(("maybe_reraise", "maybe_throw", "throw"), "get(timeout=0) raises its error"),
    "name": "the name of its task is .job.task",
    "queue": "it is .job.queue",
    "retries": "the number of its attempts is .job.attempt",
    "then": "get() waits for the end, and so does `await get_async()`",
    "worker": "it is .job.worker",
}


class JobHandle(Generic[Out]):
    """A job, by its own id or the one that its caller gave it; every property queries the ledger.

    `id` is the caller's own where the call had one, and `.job.id` is the ledger's. `is_new` is false where
    the call was answered with a job that was there before.
    """

    def __init__(
        self,
        id: str,
        result_adapter: TypeAdapter[Out] | None = None,
        *,
        is_new: bool = True,
        own_id: str | None = None,
        database: LedgerDatabase | None = None,
        task_name: str | None = None,
        app: object = None,
        backend: object = None,
        parent: object = None,
    ) -> None:
        """Make a handle; `task_name`, `app`, `backend` and `parent` are Celery's: the ledger knows them.

        The job is in another `database` than this process's where `apply` has run it.
        """
        if not isinstance(id, str) or not id:
            raise ValueError(f"a handle needs the id of a job, not {id!r:.100}")
        self.id, self.is_new, self._own_id = id, is_new, own_id
        self._result_adapter = result_adapter
        self._own_database = database

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def __str__(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, JobHandle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _database(self) -> LedgerDatabase:
        return self._own_database or get_ledger().database

    @property
    def job(self) -> Job:
        """The job's row in the ledger; raises `JobNotFoundError`, and `JobPrunedError` once it is deleted."""
        return get_job(self._database, self._own_id or self.id)

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def state(self) -> str:
        """Celery's word for the job's state; `PENDING` for an id that the ledger does not know.

        While the job runs it is the task's own word, if it has said one (`update_state`).
        """
        job = self._known_job()
        if job is not None and job.status is Status.RUNNING:
            return running_state(self._database, job)[0]
        return PENDING if job is None else CELERY_STATES[job.status]

    @property
    def status(self) -> str:
        """As `state`; the job's status in our words is `.job.status`."""
        return self.state

    @property
    def result(self) -> Any:
        """What the task returned; or the exception, where the job has failed or is to be retried; or None.

        While the job runs it is what the task has said (`update_state`), or else the worker and its process.
        """
        job = self._known_job()
        if job is not None and job.status is Status.RUNNING:
            return running_state(self._database, job)[1]
        if job is None or (not job.status.is_final and job.status is not Status.RETRYING):
            return None
        return self._result_of(job) if job.status is Status.SUCCEEDED else self._error_of(job)

    @property
    def info(self) -> Any:
        """As `result`."""
        return self.result

    @property
    def traceback(self) -> str | None:
        """The traceback of the last attempt that did not succeed."""
        job = self._known_job()
        attempt = None if job is None else last_attempt(self._database, job.id)
        return None if attempt is None else attempt.failure.traceback

    @property
    def parent(self) -> "JobHandle[Any] | None":
        """The job that handed this one in."""
        job = self._known_job()
        return None if job is None or job.parent is None else JobHandle(job.parent)

    @property
    def children(self) -> "list[JobHandle[Any]]":
        """The jobs that this one has handed in, oldest first: the newest thousand of them."""
        job = self._known_job()
        if job is None:
            return []
        ids = matching_ids(self._database, JobFilter(parent=job.id), MOST_CHILDREN)
        return [JobHandle(job_id) for job_id in reversed(ids)]

    def ready(self) -> bool:
        return (job := self._known_job()) is not None and job.status.is_final

    def successful(self) -> bool:
        return (job := self._known_job()) is not None and job.status is Status.SUCCEEDED

    def failed(self) -> bool:
        return (job := self._known_job()) is not None and job.status is Status.DEAD

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: object = None,
        on_message: object = None,
        on_interval: object = None,
        disable_sync_subtasks: bool = True,
    ) -> Out:
        """Wait for the result, at most `timeout` seconds; the ledger is asked every `interval` seconds.

        Raises a `TimeoutError`, which is Celery's too, when the time is up, and `JobNotFoundError` for an
        unknown id. A job that ended without a result raises `JobFailedError`, which is of the task's own
        exception class too where that is known here; with `propagate=False` it is returned. Inside a task
        this raises `RuntimeError`, because the other job may be waiting for this task's slot. The other
        arguments are Celery's: `callback`, `on_message` and `on_interval` are refused.
        """
        _refuse(callback=callback, on_message=on_message, on_interval=on_interval)
        for pause in _pauses(timeout, interval):
            if (job := self.job).status.is_final:
                break
            sleep(self._time_to_sleep(job, pause, timeout))
        return self._outcome(job, propagate)

    wait = get

    async def get_async(self, timeout: float | None = None, propagate: bool = True) -> Out:
        """Like `get`, from a coroutine."""
        for pause in _pauses(timeout, None):
            if (job := await asyncio.to_thread(lambda: self.job)).status.is_final:
                break
            await asyncio.sleep(self._time_to_sleep(job, pause, timeout))
        return await asyncio.to_thread(self._outcome, job, propagate)

    def revoke(
        self,
        connection: object = None,
        terminate: bool = False,
        signal: object = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Cancel the job in the ledger; one that has ended stays as it is. The arguments are Celery's.

        Raises `JobNotFoundError`, and `IllegalMoveError` for a job that is running.
        """
        job = self.job
        try:
            if not job.status.is_final:
                get_ledger().cancel(job.id, "revoked")
        except IllegalMoveError as error:
            if Status(error.status).is_final:
                return  # it has ended meanwhile
            raise IllegalMoveError(job.id, error.status, "revoked", GOES_ON) from error

    def forget(self) -> None:
        """Raise `CallRefusedError`: results are kept as `JOBYARD_LEDGER__RETENTION` says."""
        raise CallRefusedError(
            "forget() is not there: a job is kept, with its result, for as long as JOBYARD_LEDGER__RETENTION "
            "says, which can be a rule for its task (report.make/succeeded=PT1H)"
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Say where the ledger has what Celery's `AsyncResult` has by that name."""
            hint = f": {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self
            )

    def _known_job(self) -> Job | None:
        try:
            return self.job
        except JobPrunedError:
            raise
        except JobNotFoundError:
            return None

    def _time_to_sleep(self, job: Job, pause: float, timeout: float | None) -> float:
        if running_job_id() is not None:
            raise RuntimeError(
                f"a task must not wait for another job ({self.id} is {job.status}): every slot may be taken "
                "by tasks that wait; let the other job submit the next job, or raise RetryLater"
            )
        if pause <= 0:
            raise JobTimeoutError(f"job {self.id} is still {job.status} after {timeout} s")
        return pause

    def _outcome(self, job: Job, propagate: bool) -> Out:
        if job.status is Status.SUCCEEDED:
            return cast(Out, self._result_of(job))
        error = self._error_of(job)
        if propagate:
            raise error
        return cast(Out, error)

    def _result_of(self, job: Job) -> Any:
        if job.result is None:
            return None
        adapter: TypeAdapter[Any] | None = self._result_adapter
        if adapter is None:
            task = known_task(job.task)
            adapter = _ANYTHING if task is None else task.result_adapter
        return adapter.validate_json(get_claim_checks().fetch(job.id, job.result))

    def _error_of(self, job: Job) -> JobFailedError:
        attempt = last_attempt(self._database, job.id) if job.failure else None
        # The row's failure may be of a time when no attempt began, or of one that was not kept.
        is_same = attempt is not None and attempt.failure.type == getattr(job.failure, "type", None)
        return failed_error(job.id, job.status, attempt.failure if attempt and is_same else job.failure)


AsyncResult = JobHandle


def accepted_handle(
    acceptance: Acceptance,
    result_adapter: TypeAdapter[Out] | None,
    external_id: str | None,
    idempotency_key: str | None = None,
    database: LedgerDatabase | None = None,
) -> JobHandle[Out]:
    """Return the handle of a job that was accepted, with the caller's id for it if the job has that."""
    verdict = acceptance.verdict
    # Where a key has brought up an earlier job, that may have been called by another name.
    has_it = verdict is Verdict.NEW or (verdict is Verdict.REPEATED and idempotency_key is None)
    given = external_id if external_id is not None and has_it else acceptance.job_id
    is_new = verdict is Verdict.NEW
    return JobHandle(given, result_adapter, is_new=is_new, own_id=acceptance.job_id, database=database)


def _pauses(timeout: float | None, interval: float | None) -> Iterator[float]:
    """Yield the seconds until the next look at the job: 0 where the time was up before the last one."""
    deadline = None if timeout is None else monotonic() + timeout
    pause = FIRST_POLL_SECONDS if interval is None else interval
    while True:
        yield pause if deadline is None else max(0.0, min(pause, deadline - monotonic()))
        if interval is None:
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)


def _refuse(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise CallRefusedError(f"{name}= {_ONE_ANSWER}")

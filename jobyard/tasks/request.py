"""`task.request` and `current_task` per job, as Celery shows them.

Celery keeps both for each thread, and for messages. Here they are those of the call that runs
(`running_call.py`), on every kind of pool. A request is made when it is first read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, cast

from celery import _state
from celery.app.task import Context
from pydantic_core import from_json

from jobyard.broker.celery_app import app
from jobyard.jobs.errors import JobNotFoundError, LedgerUnavailableError
from jobyard.jobs.job import ClaimedJob, Job
from jobyard.jobs.reading.job_queries import get_job, root_of
from jobyard.tasks.context import current_database
from jobyard.tasks.running_call import RunningCall, call_of, enter, innermost_call, leave

# The one object of that name that every module of Celery's has.
_stack: Any = cast(Any, _state)._task_stack
# Celery's proxy: the task whose function runs here, or None.
current_task: Final[Any] = _state.current_task


class JobRequest(Context):
    """The request of an attempt at a job; what only the ledger has is read from there at its first use.

    `id` is what the caller got from `apply_async`: the caller's own id for the job, or else the job's. The
    headers of the call are also attributes, as Celery has them, where no other attribute has their name:
    integrations look for their traces there.
    """

    def __init__(self, call: RunningCall, job: ClaimedJob) -> None:
        args, kwargs = call.arguments
        headers: dict[str, Any] = {} if job.headers is None else from_json(job.headers)
        self.__dict__.update(
            {
                name: value
                for name, value in headers.items()
                if name[:1] != "_" and not hasattr(JobRequest, name)
            }
        )
        self._job_id = job.id
        # Overridden so that nothing is looked up here: Celery's takes a message's headers apart.
        self.__dict__.update(
            id=job.external_id or job.id,
            task=job.task,
            correlation_id=job.external_id or job.id,
            headers=headers or None,
            retries=job.failures,
            args=list(args),
            kwargs=dict(kwargs),
            called_directly=False,
            is_eager=call.is_eager,
            timelimit=[job.time_limit, job.soft_time_limit],
            time_limit=job.time_limit,
            soft_time_limit=job.soft_time_limit,
            utc=True,
        )

    @cached_property
    def _row(self) -> Job:
        return get_job(current_database(), self._job_id)

    def get(self, key: str, default: Any = None) -> Any:
        """Overridden because instrumentation reads by it, and must go on where the ledger does not answer."""
        try:
            return getattr(self, key, default)
        except (LedgerUnavailableError, JobNotFoundError):
            return default

    @cached_property
    def parent_id(self) -> str | None:  # type: ignore[override]
        """The job that handed this one in, or None."""
        return self._row.parent

    @cached_property
    def root_id(self) -> str:  # type: ignore[override]
        """The first of the jobs that handed one another in, this one's own id included."""
        root = root_of(current_database(), self._job_id)
        return self.id if root == self._job_id and self.id else root

    @cached_property
    def hostname(self) -> str | None:  # type: ignore[override]
        """The worker's name, or None where the ledger does not answer."""
        try:
            worker = self._row.worker
        except (LedgerUnavailableError, JobNotFoundError):
            return None
        return worker and worker.rpartition("/")[0]

    @cached_property
    def delivery_info(self) -> dict[str, Any]:  # type: ignore[override]
        """The queue, as `routing_key`, the priority, and whether a worker was lost with the job before."""
        row = self._row
        return {
            "exchange": "",
            "routing_key": row.queue,
            "priority": row.priority,
            "redelivered": row.lost > 0,
        }

    @cached_property
    def eta(self) -> str | None:  # type: ignore[override]
        """When the attempt was to begin, in ISO 8601, where that was later than the job's acceptance."""
        row = self._row
        return row.run_at.isoformat() if row.run_at > row.created_at else None

    @cached_property
    def expires(self) -> str | None:  # type: ignore[override]
        """After which time no attempt begins, in ISO 8601, or None."""
        expires_at = self._row.expires_at
        return expires_at.isoformat() if expires_at else None

    def __repr__(self) -> str:
        for name in ("parent_id", "root_id", "hostname", "delivery_info", "eta", "expires"):
            getattr(self, name)
        return f"<Context: { {name: value for name, value in vars(self).items() if name[0] != '_'}!r}>"


def request_of(task: Any) -> Context:
    """Return the request of the innermost call of this task that runs here."""
    call = call_of(task.definition)
    if call is None:
        # One that a program has pushed (`task.push_request`), or an empty one.
        return cast(Context, task._get_request())
    return request_of_call(call)


def request_of_call(call: RunningCall) -> Context:
    """Return the request of a call, always the same one."""
    if call.request is None:
        args, kwargs = call.arguments
        call.request = Context(args=args, kwargs=kwargs) if call.job is None else JobRequest(call, call.job)
    return cast(Context, call.request)


@contextmanager
def called_directly(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
    """Make a direct call of a task the one that runs, unless it is how a job's own call goes on."""
    call = innermost_call()
    if call is not None and call.awaits_call and call.definition is task.definition:
        call.awaits_call = False
        yield
        return
    token = enter(RunningCall(task.definition, arguments=(args, kwargs)))
    try:
        yield
    finally:
        leave(token)


class _TaskStack(type(_stack)):  # type: ignore[misc]
    """Celery's stack of the tasks that run, of which those of jobs are known by their calls."""

    @property
    def top(self) -> Any:
        """Overridden so that `current_task` is right in a job, whichever thread or coroutine runs it."""
        call = innermost_call()
        return super().top if call is None else _task_of(call)

    @property
    def stack(self) -> list[Any]:
        """Overridden so that a task which is called in a job finds the job's."""
        calls = list[Any]()
        call = innermost_call()
        while call is not None:
            calls.insert(0, _task_of(call))
            call = call.outer
        return [*super().stack, *calls]


def _task_of(call: RunningCall) -> Any:
    return app.tasks[call.definition.name]


_stack.__class__ = _TaskStack

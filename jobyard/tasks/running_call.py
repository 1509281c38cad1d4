"""Which task's function runs here, with what: the call of a job, and direct calls within it.

It is kept for a thread or a coroutine. `request.py` shows it in Celery's words.
"""

from contextvars import ContextVar, Token
from typing import Any, Final

from jobyard.jobs.errors import RetryLater
from jobyard.jobs.job import ClaimedJob
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.reported_state import StateReporter
from jobyard.tasks.signature import CallArguments


class RunningCall:
    """One call of a task's function: an attempt at a job, or a direct call, which has no job.

    `payload` is None until the job's was read. `max_retries` is what `retry(max_retries=...)` has said in
    this attempt, and `retry` what it has asked for: it counts, even where the function goes on. `reporter`
    is there from the first `update_state`, and `request` once `task.request` was read.
    """

    __slots__ = (
        *("definition", "job", "payload", "is_eager", "outer", "awaits_call"),
        *("max_retries", "retry", "reporter", "request", "_arguments"),
    )

    def __init__(
        self,
        definition: AnyDefinition,
        job: ClaimedJob | None = None,
        *,
        arguments: CallArguments | None = None,
        is_eager: bool = False,
    ) -> None:
        self.definition, self.job, self.is_eager = definition, job, is_eager
        self.payload: Any = None
        self.outer: RunningCall | None = None
        # An overridden `__call__` may go on to `Task.__call__`, and that is no further call.
        self.awaits_call = job is not None and definition.has_own_call
        self.max_retries: int | None = None
        self.retry: RetryLater | None = None
        self.reporter: StateReporter | None = None
        self.request: Any = None
        self._arguments = arguments

    @property
    def arguments(self) -> CallArguments:
        """The positional and the keyword arguments; what can be positional is."""
        if self._arguments is None and self.payload is not None:
            self._arguments = self.definition.signature.by_position(self.payload)
        return self._arguments or ((), {})


_innermost: Final[ContextVar[RunningCall | None]] = ContextVar("running_call", default=None)


def innermost_call() -> RunningCall | None:
    """Return the call that runs here, or None."""
    return _innermost.get()


def call_of(definition: AnyDefinition) -> RunningCall | None:
    """Return the innermost call of this task that runs here, or None."""
    call = _innermost.get()
    while call is not None and call.definition is not definition:
        call = call.outer
    return call


def enter(call: RunningCall) -> Token[RunningCall | None]:
    """Make `call` the innermost one; `leave` undoes it."""
    call.outer = _innermost.get()
    return _innermost.set(call)


def leave(token: Token[RunningCall | None]) -> None:
    """Forget the call that `enter` has returned this for."""
    _innermost.reset(token)

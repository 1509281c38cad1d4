"""The errors that Jobyard raises. HTTP status codes for them live in `jobyard/http/errors.py` alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic_core import to_json


class JobyardError(Exception):
    """The base of every error that Jobyard raises on purpose."""


class TaskDeclarationError(JobyardError):
    """A declaration of a task is wrong; raised at import, with the fix in the message."""


class TaskNotFoundError(JobyardError):
    """No task has that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        super().__init__(f"there is no task {name!r}; the tasks are: {', '.join(known)}")


class UnknownTaskNameError(TaskNotFoundError):
    """No process has declared a task of that name; `near` are the names that are like it."""

    def __init__(self, name: str, known: list[str], near: list[str]) -> None:
        self.name, self.known, self.near = name, known, near
        hint = f"is it {' or '.join(map(repr, near))}? " if near else ""
        JobyardError.__init__(
            self,
            f"no process has declared a task {name[:200]!r} in this ledger; {hint}Its workers declare "
            f"it when they start, and the tasks are: {', '.join(known)}",
        )


class HousekeepingTaskError(JobyardError):
    """A caller has asked for a job of Jobyard's own housekeeping, which schedules alone hand in."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} is Jobyard's own housekeeping: its schedules hand it in, and no caller does; how long "
            "jobs are kept is set by JOBYARD_LEDGER__RETENTION"
        )


class QueueNotFoundError(JobyardError):
    """No process has declared a queue of that name."""

    def __init__(self, name: str, known: list[str], hint: str = "") -> None:
        self.name, self.known = name, known
        super().__init__(
            f"there is no queue {name[:100]!r}; the queues are: {', '.join(known)}. Others are declared by a "
            f"task, by the application, or by JOBYARD_QUEUES{hint}"
        )


class JobNotFoundError(JobyardError):
    """No job with that id was ever accepted."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no job {job_id} was ever accepted here")


class ExternalIdNotFoundError(JobNotFoundError):
    """No job with that id, as its own or as its caller's, is in the ledger."""

    def __init__(self, external_id: str) -> None:
        self.job_id = external_id
        JobyardError.__init__(
            self,
            f"no job with the id {external_id!r} is here: none was accepted with it, or it was deleted at "
            "the end of its retention (JOBYARD_LEDGER__RETENTION)",
        )


class JobPrunedError(JobNotFoundError):
    """The job has ended, and was deleted at the end of its retention."""

    def __init__(self, job_id: str, pruned_at: datetime) -> None:
        self.job_id, self.pruned_at = job_id, pruned_at
        JobyardError.__init__(
            self,
            f"job {job_id} had ended, and was deleted on {pruned_at:%Y-%m-%d} (JOBYARD_LEDGER__RETENTION)",
        )


class ReplayNotFoundError(JobyardError):
    """No replay order has that id."""

    def __init__(self, replay_id: str) -> None:
        self.replay_id = replay_id
        super().__init__(f"there is no replay {replay_id} here")


class IllegalMoveError(JobyardError):
    """The job's status does not allow the change that was asked for."""

    def __init__(self, job_id: str, status: str, requested: str, hint: str) -> None:
        self.job_id, self.status, self.requested = job_id, status, requested
        super().__init__(f"job {job_id} is {status}, so it cannot be {requested}: {hint}")


class CallRefusedError(JobyardError):
    """A call of Celery's that cannot be kept here; the message names the way out."""


class IdempotencyConflictError(JobyardError):
    """An idempotency key was used before, for another request."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the idempotency key {key!r} was used before for another task, payload or options")


class LedgerUnavailableError(JobyardError):
    """The ledger's database could not be used, so nothing was accepted or changed.

    Only `CommitUnknownError` leaves open whether something was.
    """


class LedgerAwayError(LedgerUnavailableError):
    """The ledger's server does not answer now, and may be back: no setting is known to be wrong."""


class CommitUnknownError(LedgerAwayError):
    """The connection was lost before the database said whether it had committed a change.

    Every change may be asked for again, and is not made twice. Jobs are, by the function that accepts them:
    its callers meet `OutcomeUnknownError` at the worst.
    """


class OutcomeUnknownError(JobyardError):
    """The ledger did not say in time whether it has committed these jobs: it has all of them, or none.

    `job_ids` are the ids under which they can be asked for. A repeated call makes new jobs, unless it has the
    same idempotency key.
    """

    def __init__(self, job_ids: Sequence[str], reason: str) -> None:
        self.job_ids, self.reason = list(job_ids), reason
        super().__init__(job_ids, reason)

    def __str__(self) -> str:
        what = f"job {self.job_ids[0]} was" if len(self.job_ids) == 1 else f"{len(self.job_ids)} jobs were"
        return f"it is unknown whether {what} accepted, so ask by id before a second call: {self.reason}"


class ObjectStoreError(JobyardError):
    """The file store could not be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the file store is out of reach (JOBYARD_FILES__URL): {reason}")


class ClaimCheckError(JobyardError):
    """A payload or a result in the file store could not be fetched: for good where `is_lost`."""

    def __init__(self, message: str, *, is_lost: bool) -> None:
        self.is_lost = is_lost
        super().__init__(message)


class RemoteControlError(JobyardError):
    """No control command can reach the workers, because the broker cannot send to all of them."""


class FileNotStoredError(JobyardError):
    """No file with that id is stored."""

    def __init__(self, file_id: str) -> None:
        self.file_id = file_id
        super().__init__(f"no file {file_id} is stored here")


class FileTooLargeError(JobyardError):
    """A file is larger than `JOBYARD_FILES__MAX_BYTES`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"the file is larger than {limit_bytes} bytes (JOBYARD_FILES__MAX_BYTES)")


class ResultRefusedError(JobyardError):
    """A task returned a value that cannot be stored, because its type is wrong or it is too large."""


class ForeignMessageError(JobyardError):
    """A message of a stock Celery producer does not fit the task that it names."""


class ExternalNoAnswerError(JobyardError):
    """No stock Celery worker has answered for an external job within its deadline."""


class ExternalFailedError(JobyardError):
    """A stock Celery worker has run an external job, and it failed there."""

    def __init__(self, module: str, kind: str, message: str, traceback: str | None) -> None:
        self.module, self.kind, self.traceback = module, kind, traceback
        super().__init__(message)


class AttemptFailedError(JobyardError):
    """Tells Celery, and through it Flower, that an attempt failed; the ledger has recorded it already."""


class Interruption(BaseException):
    """Raised in a thread by another thread, at any line; the code that runs there is not at fault."""


class RetryLater(JobyardError):  # noqa: N818 (an outcome that a task asks for, not an error)
    """Raised by a task to have its job tried again after `delay`, if the job has attempts left.

    Without a delay the pause is that of the task's own retries. With `counts=False` the job is only put off,
    and no attempt is used up. `progress` is what the task has done so far, anything that pydantic writes as
    JSON: the next attempts read it with `current_job().progress(...)`, also those of a replay.
    """

    def __init__(
        self, delay: timedelta | None, reason: str, *, counts: bool = True, progress: object = None
    ) -> None:
        self.delay, self.reason, self.counts = delay, reason, counts
        self.progress = None if progress is None else to_json(progress).decode()
        super().__init__(reason)


class Discard(JobyardError):  # noqa: N818
    """Raised by a task whose job can never succeed: the job is dead at once, with this reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

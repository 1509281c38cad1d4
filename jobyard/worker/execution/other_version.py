"""The failures of jobs of another version of the code, which wait for a worker that can run them."""

from pydantic import ValidationError

from jobyard.jobs.job import Cause, Failure


def unknown_task(name: str) -> Failure:
    """Return the failure of a job whose task this worker does not know."""
    message = (
        f"no worker that has met the job knows its task, {name!r:.200}: deploy one that does, give the task "
        "an alias, or cancel the job"
    )
    return Failure(Cause.UNKNOWN_TASK, "UnknownTask", message)


def unreadable_payload(error: ValidationError) -> Failure:
    """Return the failure of a job whose payload does not fit its task as this worker knows it.

    Payloads are validated when their jobs are accepted, so another version of the task has accepted this one.
    """
    message = (
        "the payload does not fit the task's version in any worker that has met the job, which waits for one "
        f"that can read it (JOBYARD_KEEPER__UNKNOWN_FOR): {error}"
    )
    return Failure(Cause.INVALID_PAYLOAD, type(error).__name__, message)

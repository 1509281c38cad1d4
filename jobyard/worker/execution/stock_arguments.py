"""Makes a task's payload from the arguments of a stock Celery message."""

from typing import Any, Final

from pydantic import BaseModel

from jobyard.broker.bridge.message_payload import arguments_in
from jobyard.jobs.errors import ForeignMessageError, TaskDeclarationError
from jobyard.tasks.definition import AnyDefinition

WAY_OUT: Final = "mend the call, or let the task take it, and replay the job"


def bind_arguments(task: AnyDefinition, args: list[Any], kwargs: dict[str, Any]) -> BaseModel:
    """Return the payload for a call with these arguments; raises `ForeignMessageError`."""
    try:
        payload = task.signature.payload(args, kwargs)
        task.dump(payload)
    except (TypeError, ValueError, TaskDeclarationError) as error:  # pydantic's errors are of `ValueError`
        raise ForeignMessageError(
            f"the message's arguments do not fit {task.name!r}: {error} ({WAY_OUT})"
        ) from error
    return payload


def bind_stock_message(task: AnyDefinition, payload: str) -> BaseModel:
    """Return the payload of a job whose row holds a message; raises `ForeignMessageError`."""
    try:
        args, kwargs = arguments_in(payload)
    except ValueError as error:
        raise ForeignMessageError(f"the message cannot be used: {error}") from error
    return bind_arguments(task, args, kwargs)

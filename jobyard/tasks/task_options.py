"""The options of `@task`: Celery's, where they mean something here, and ours."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from jobyard.jobs.errors import TaskDeclarationError
from jobyard.jobs.retry import RetryPolicy
from jobyard.settings.queues import Queue
from jobyard.tasks.option_hint import option_hint


class TaskOptions(TypedDict, total=False):
    """What a declaration may say besides its name; limits, delays and ages are in seconds.

    Only exceptions in `autoretry_for`, and `RetryLater`, are retried; any other makes the job a dead letter
    at once, and so does a retry that would come later than `max_age` after the job was accepted. A job
    that has lost more workers than `max_losses` is dead; with 0 it is never started a second time. Naming a
    `queue` declares it; a `Queue` also sets its purpose and kind.
    """

    queue: str | Queue
    priority: int
    autoretry_for: Sequence[type[Exception]]
    dont_autoretry_for: Sequence[type[Exception]]
    retry_kwargs: Mapping[str, Any]
    max_retries: int | None
    retry_backoff: bool | int
    retry_backoff_max: int
    retry_jitter: bool
    default_retry_delay: int
    time_limit: float | None
    soft_time_limit: float | None
    max_age: float | None
    max_losses: int
    aliases: tuple[str, ...]
    # What follows is Celery's, and changes nothing here.
    acks_late: bool
    acks_on_failure: bool
    acks_on_timeout: bool
    acks_on_failure_or_timeout: bool
    reject_on_worker_lost: bool
    retry_on_worker_lost: bool
    resultrepr_maxsize: int
    ignore_result: bool
    store_errors_even_if_ignored: bool
    track_started: bool
    send_events: bool
    trail: bool
    typing: bool
    throws: tuple[type[Exception], ...]
    pydantic: bool
    compression: str
    serializer: str


# How Jobyard does anyway what these say, or does in another way what they are for.
WITHOUT_EFFECT: Final = (
    *("acks_late", "acks_on_failure", "acks_on_timeout", "acks_on_failure_or_timeout"),
    *("reject_on_worker_lost", "retry_on_worker_lost", "ignore_result", "resultrepr_maxsize"),
    *("store_errors_even_if_ignored", "track_started", "send_events", "trail", "typing"),
    *("pydantic", "compression"),
)
REFUSED: Final = {
    "rate_limit": "rate_limit counts for one worker in Celery, and is not there: give the task a queue of "
    "its own, with few workers",
    "expires": "expires is said of a job, not of a task: task.apply_async(..., expires=...) or "
    "task.options(expires_in=...).delay(...); max_age= ends retries that come too late",
    "exchange": "exchange and routing_key are not there: a job goes to one queue, which `queue=` names",
    "routing_key": "exchange and routing_key are not there: a job goes to one queue, which `queue=` names",
}
KNOWN: Final = TaskOptions.__annotations__.keys()
HOOKS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
_POLICY: Final = RetryPolicy.__dataclass_fields__.keys()


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise `TaskDeclarationError` for the first option that there is not; the error names the way out."""
    for option in options:
        if option in REFUSED and options[option] is not None:
            raise TaskDeclarationError(f"task {name!r}: {REFUSED[option]}")
        if option not in KNOWN and option not in REFUSED:
            raise TaskDeclarationError(
                f"task {name!r}: there is no option {option!r}; {option_hint(option, KNOWN)}"
            )
    if options.get("serializer", "json") not in ("json", None):
        raise TaskDeclarationError(
            f"task {name!r}: serializer={options['serializer']!r}: a payload is JSON here: annotate the "
            "parameter with a dataclass or a pydantic model"
        )


def retry_policy(options: Mapping[str, Any]) -> RetryPolicy:
    """Return the policy that the options say."""
    given = {name: options[name] for name in _POLICY if name in options}
    for name in ("autoretry_for", "dont_autoretry_for"):
        if isinstance(given.get(name), (list, set, frozenset)):
            given[name] = tuple(given[name])
        elif isinstance(given.get(name), type):
            given[name] = (given[name],)
    return RetryPolicy(**given)

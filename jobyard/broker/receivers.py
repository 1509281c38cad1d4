"""Receivers of Celery's signals: whom a signal is for, and who would wait for one that is never sent."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog
from celery import signals

from jobyard.jobs.errors import TaskDeclarationError

log = structlog.get_logger()

_NEVER_SENT: Final[Mapping[Any, str]] = {
    signals.before_task_publish: "a job is accepted, not published: jobyard.signals.job_accepted is sent "
    "after its commit",
    signals.task_received: "a worker receives messages, and each may be about many jobs: task_prerun is sent "
    "for each attempt at a job",
}
# Packages that connect to every signal there is, do without those that are not sent, and take what is sent
# after a publication for the end of what they began before it.
_INSTRUMENTATIONS: Final = ("opentelemetry.", "sentry_sdk.", "ddtrace.", "newrelic.", "elasticapm.")


def check_receivers() -> None:
    """Raise `TaskDeclarationError` where a receiver waits for what is never sent."""
    sentences = [
        f"{_name_of(receiver)} is connected to {signal.name}, which is never sent: {reason}"
        for signal, reason in _NEVER_SENT.items()
        for receiver in receivers(signal, None)
    ]
    if sentences:
        raise TaskDeclarationError("; ".join(sentences))


def receivers(signal: Any, sender: object) -> Iterator[Any]:
    """Return the receivers that a program has connected itself, without those of instrumentations."""
    for receiver in signal._live_receivers(sender):
        if not getattr(receiver, "__module__", "").startswith(_INSTRUMENTATIONS):
            yield receiver


def send(signal: Any, sender: object, **arguments: Any) -> None:
    """Call a signal's receivers that a program has connected itself; what one raises is logged."""
    for receiver in receivers(signal, sender):
        try:
            receiver(signal=signal, sender=sender, **arguments)
        except (Exception, SystemExit):
            log.exception("a receiver raised", signal=signal.name, receiver=_name_of(receiver))


def _name_of(receiver: Any) -> str:
    name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
    return f"{getattr(receiver, '__module__', '?')}.{name}"

"""Tells whether a broker carries broadcasts: the events of workers, and control commands to them."""

from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind


def no_broadcast_reason(broker_url: str) -> str | None:
    """Return why the broker carries neither events nor control commands, or None where it carries both."""
    if broker_kind(broker_url) is not BrokerKind.SQS:
        return None
    return (
        "SQS carries neither the events of workers nor control commands to them, so Flower, `celery inspect` "
        "and `celery control` cannot work: GET /v1/workers, /v1/queues and /v1/jobs show what goes on, and a "
        "SIGTERM stops a worker"
    )

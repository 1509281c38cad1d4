"""Whether a broker carries what goes to everybody: the events of workers, and the orders to them."""

from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind


def no_events(broker_url: str) -> str | None:
    """Return what to say where the broker carries neither events nor orders, and None where it does."""
    if broker_kind(broker_url) is not BrokerKind.SQS:
        return None
    return (
        "SQS carries neither the events of workers nor orders to them, so Flower, `celery inspect` and "
        "`celery control` have nobody to speak to: GET /v1/workers, /v1/queues and /v1/jobs say what goes "
        "on, and a SIGTERM stops a worker"
    )

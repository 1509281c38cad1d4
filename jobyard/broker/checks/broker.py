"""The check of the broker and of the Redis beside it, for the start of every process and for `/readyz`.

What is wrong stays wrong while one waits (credentials, a virtual host, a certificate, another server): a
process that can do nothing without it ends with the sentence. What is away may come back, and is waited for.
"""

import sys
from collections.abc import Iterator
from typing import Final

import structlog

from jobyard.broker.broker_options import broker_options
from jobyard.broker.checks.fault import Fault
from jobyard.broker.checks.rabbitmq import rabbitmq_fault
from jobyard.broker.checks.redis import redis_fault
from jobyard.broker.checks.sentinel import sentinels_fault
from jobyard.settings import ENV_PREFIX, Settings
from jobyard.settings.urls.amqp import amqp_tls, plain_urls
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

log = structlog.get_logger()

LONGEST_PATIENCE_SECONDS: Final = 2.0
BROKER_SETTING: Final = f"{ENV_PREFIX}BROKER__URL"
REDIS_SETTING: Final = f"{ENV_PREFIX}REDIS__URL"


def broker_fault(settings: Settings, *, with_queues: bool = True) -> Fault | None:
    """Return what is the matter with the broker, or None; waits no longer than a few seconds.

    On RabbitMQ the queues are declared, `with_queues`: by all who publish or consume.
    """
    return _named(BROKER_SETTING, _broker_fault(settings, with_queues))


def redis_beside_fault(settings: Settings) -> Fault | None:
    """Return what is the matter with the Redis for what is live, where that is another than the broker."""
    url = settings.redis_url
    if url == settings.broker_url:
        return None
    ask = sentinels_fault if broker_kind(url) is BrokerKind.SENTINEL else redis_fault
    return _named(REDIS_SETTING, ask(url, _patience(settings)))


def exit_if_misconfigured(*faults: Fault | None) -> None:
    """End the process with what is wrong; say once what is only away."""
    found = [fault for fault in faults if fault is not None]
    if is_wrong := [fault.sentence for fault in found if fault.is_wrong]:
        sys.exit("\n".join(is_wrong))
    log_faults(*found)


def log_faults(*faults: Fault | None) -> None:
    """Log every fault, in a process that goes on."""
    for fault in faults:
        if fault is not None:
            log.warning("broker", fault=fault.sentence)


def _broker_fault(settings: Settings, with_queues: bool) -> Fault | None:
    url, patience = settings.broker_url, _patience(settings)
    match broker_kind(url):
        case BrokerKind.REDIS:
            return redis_fault(url, patience)
        case BrokerKind.RABBITMQ:
            queues = broker_options(settings)["task_queues"] if with_queues else ()
            return _best(rabbitmq_fault(node, patience, amqp_tls(url), queues) for node in plain_urls(url))
        case BrokerKind.SENTINEL:
            return sentinels_fault(url, patience)
        case BrokerKind.SQS:
            return None  # asked by its own client


def _best(faults: Iterator[Fault | None]) -> Fault | None:
    # Several nodes are one broker: it is as well as the best of them, and one that answers is enough.
    found: list[Fault] = []
    for fault in faults:
        if fault is None:
            return None
        found.append(fault)
    return min(found, key=lambda fault: fault.is_wrong)


def _patience(settings: Settings) -> float:
    return min(settings.broker.timeout.total_seconds(), LONGEST_PATIENCE_SECONDS)


def _named(setting: str, fault: Fault | None) -> Fault | None:
    return Fault(f"{setting}: {fault.sentence}", fault.is_wrong) if fault else None

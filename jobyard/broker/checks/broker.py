"""The check of the broker and of a separate Redis, at the start of every process and for `/readyz`.

A wrong setting does not mend itself (credentials, a virtual host, a certificate, another server): a process
that cannot work without the server ends with the sentence. A server that is away may come back, and the
process waits for it.
"""

import sys
from collections.abc import Iterator
from typing import Final

import structlog

from jobyard.broker.broker_options import broker_options
from jobyard.broker.checks.fault import Fault
from jobyard.settings import ENV_PREFIX, Settings
from jobyard.settings.extras import is_installed
from jobyard.settings.urls.amqp import amqp_tls, plain_urls
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

log = structlog.get_logger()

# The longest that a check waits for a server.
LONGEST_TIMEOUT_SECONDS: Final = 2.0
BROKER_SETTING: Final = f"{ENV_PREFIX}BROKER__URL"
REDIS_SETTING: Final = f"{ENV_PREFIX}REDIS__URL"


def broker_fault(settings: Settings, *, with_queues: bool = True) -> Fault | None:
    """Return what is wrong with the broker, or None; waits a few seconds at most.

    On RabbitMQ, `with_queues` declares the queues too, as every publisher and consumer does.
    """
    return _named(BROKER_SETTING, _broker_fault(settings, with_queues))


def separate_redis_fault(settings: Settings) -> Fault | None:
    """Return what is wrong with the Redis for schedules and live state, if it is not the broker, or None."""
    url = settings.redis_url
    if url == settings.broker_url:
        return None
    if not is_installed("redis"):
        return None  # what uses it beside the broker (schedules) cannot run here
    return _named(REDIS_SETTING, _redis_fault(url, _timeout_seconds(settings)))


def exit_if_misconfigured(*faults: Fault | None) -> None:
    """End the process if a setting is wrong; otherwise log the servers that are away."""
    found = [fault for fault in faults if fault is not None]
    if sentences := [fault.sentence for fault in found if fault.is_wrong]:
        sys.exit("\n".join(sentences))
    log_faults(*found)


def log_faults(*faults: Fault | None) -> None:
    """Log every fault; the process goes on."""
    for fault in faults:
        if fault is not None:
            log.warning("broker", fault=fault.sentence)


def _broker_fault(settings: Settings, with_queues: bool) -> Fault | None:
    url, timeout_seconds = settings.broker_url, _timeout_seconds(settings)
    match broker_kind(url):
        case BrokerKind.REDIS | BrokerKind.SENTINEL:
            return _redis_fault(url, timeout_seconds)
        case BrokerKind.RABBITMQ:
            from jobyard.broker.checks.rabbitmq import rabbitmq_fault

            queues = broker_options(settings)["task_queues"] if with_queues else ()
            tls, nodes = amqp_tls(url), plain_urls(url)
            return _least_fault(rabbitmq_fault(node, timeout_seconds, tls, queues) for node in nodes)
        case BrokerKind.SQS:
            return None  # its own client checks it


def _redis_fault(url: str, timeout_seconds: float) -> Fault | None:
    if broker_kind(url) is BrokerKind.SENTINEL:
        from jobyard.broker.checks.sentinel import sentinels_fault

        return sentinels_fault(url, timeout_seconds)
    from jobyard.broker.checks.redis import redis_fault

    return redis_fault(url, timeout_seconds)


def _least_fault(faults: Iterator[Fault | None]) -> Fault | None:
    # The nodes of a cluster are one broker, and one node that answers is enough.
    found: list[Fault] = []
    for fault in faults:
        if fault is None:
            return None
        found.append(fault)
    return min(found, key=lambda fault: fault.is_wrong)


def _timeout_seconds(settings: Settings) -> float:
    return min(settings.broker.timeout.total_seconds(), LONGEST_TIMEOUT_SECONDS)


def _named(setting: str, fault: Fault | None) -> Fault | None:
    return Fault(f"{setting}: {fault.sentence}", fault.is_wrong) if fault else None

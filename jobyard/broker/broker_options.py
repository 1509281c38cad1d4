"""What Celery is told about its broker: one function for each kind of broker, and what holds for all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from kombu import Queue as KombuQueue
from kombu.transport import TRANSPORT_ALIASES

from jobyard.settings import Settings
from jobyard.settings.application import get_application
from jobyard.settings.priority_bands import Band, band_name, has_bands
from jobyard.settings.queues import DEFAULT_QUEUE, HIGHEST_PRIORITY, PRIORITIES
from jobyard.settings.redis_options import sentinel_options
from jobyard.settings.urls.amqp import amqp_tls, plain_urls
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind
from jobyard.settings.urls.redis import RedisPlace, parse_redis_url, plain_url
from jobyard.settings.urls.sqs import parse_sqs_address

# Whoever asks the broker something is told at once that it is not there: kombu would try again for
# seconds on end (6 s measured), and the keeper or the next request does that anyway.
AT_ONCE: Final = {"max_retries": 3, "interval_start": 0, "interval_step": 0}
# Of the broker's longest time to answer: what is on its way is not taken for silence.
HEARTBEATS: Final = 2

RABBITMQ_TRANSPORT: Final = "jobyard.broker.rabbitmq.transport:Transport"
SCHEME_OF_NODES: Final = "jobyard-amqp"
TRANSPORT_ALIASES[SCHEME_OF_NODES] = RABBITMQ_TRANSPORT

# SQS may give a message to a poll whose worker is gone already, so the longest (20 s) is not the best.
LONG_POLL_SECONDS: Final = 10
# How soon a worker with all its slots taken looks whether one is free.
BETWEEN_POLLS_SECONDS: Final = 0.05
# The longest that SQS knows.
LONGEST_INVISIBLE: Final = timedelta(hours=12)
RETENTION_SECONDS: Final = 14 * 24 * 3600


def broker_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's options for this broker and its queues."""
    return {
        "broker_url": settings.broker_url,
        "broker_connection_timeout": settings.broker.timeout.total_seconds(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker as long as it takes
        "broker_channel_error_retry": True,  # a full Redis answers with errors, and gets room again
        "task_default_queue": DEFAULT_QUEUE.name,
        "task_queues": [queue for name in _known_at_once(settings) for queue in kombu_queues(name, settings)],
        "task_create_missing_queues": False,
        **_OF_KIND[broker_kind(settings.broker_url)](settings),
    }


def _known_at_once(settings: Settings) -> list[str]:
    # Those that tasks declare come with the tasks, see `jobyard/broker/queues.py`.
    queues = (DEFAULT_QUEUE, *get_application().queues, *settings.queues)
    return sorted({queue.name for queue in queues})


def kombu_queues(name: str, settings: Settings) -> list[KombuQueue]:
    """Return what a queue of ours is at this broker: one queue, or on quorum queues one for each band."""
    if has_bands(settings):
        # `celery worker -Q email` finds the usual band by its alias, and `jobyard/worker/both_bands.py` adds
        # the urgent one.
        return [
            KombuQueue(
                band_name(name, band),
                alias=name if band is Band.USUAL else None,
                routing_key=band_name(name, band),
                queue_arguments={"x-queue-type": "quorum"},
            )
            for band in Band
        ]
    is_rabbitmq = broker_kind(settings.broker_url) is BrokerKind.RABBITMQ
    arguments = {"x-max-priority": HIGHEST_PRIORITY} if is_rabbitmq else None
    return [KombuQueue(name, routing_key=name, queue_arguments=arguments)]


def _redis(settings: Settings) -> dict[str, Any]:
    return {
        "broker_transport": "jobyard.broker.redis.transport:Transport",
        **_of_either_redis(settings, parse_redis_url(settings.broker_url)),
    }


def _sentinel(settings: Settings) -> dict[str, Any]:
    place = parse_redis_url(settings.broker_url)
    told = _of_either_redis(settings, place)
    # kombu would read them from a list of URLs, and leave our transport when it goes from one to the next.
    told["broker_transport_options"] |= {
        "sentinels": place.hosts,
        "sentinel_kwargs": sentinel_options(place, settings.broker.timeout),
        "master_name": place.master,
    }
    return {"broker_transport": "jobyard.broker.redis.sentinel_transport:Transport", **told}


def _of_either_redis(settings: Settings, place: RedisPlace) -> dict[str, Any]:
    return {
        "broker_url": plain_url(settings.broker_url),
        "broker_use_ssl": dict(place.tls) or None,
        "broker_transport_options": _redis_transport_options(settings),
    }


def _redis_transport_options(settings: Settings) -> dict[str, Any]:
    patience = settings.broker.timeout.total_seconds()
    return AT_ONCE | {
        "global_keyprefix": settings.redis.prefix,
        "priority_steps": list(PRIORITIES),
        # Redis keeps no copy of what a worker has fetched. The copy is what kombu loses workers over when
        # Redis restarts, fills up or resets a connection, and half of what a job costs; here it would
        # guard nothing, since the keeper publishes again what was lost with a worker.
        "ack_emulation": False,
        "sep": ":",
        "queue_order_strategy": "priority",
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
        "socket_keepalive": True,
        # A connection on which nothing comes for so long is looked at, and twice so long is given up: a
        # server that froze says nothing, and another may be the master by then.
        "health_check_interval": patience,
    }


def _rabbitmq(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": _kombu_urls(plain_urls(settings.broker_url)),
        "broker_use_ssl": amqp_tls(settings.broker_url),
        "broker_transport": RABBITMQ_TRANSPORT,
        # A worker that is sent nothing for twice this long connects again; RabbitMQ lets go of it as late.
        "broker_heartbeat": HEARTBEATS * settings.broker.timeout.total_seconds(),
        # Celery would fetch less after a lost connection, and ask for more again from the threads that run
        # jobs: two threads read one socket then, and the worker is deaf. Who fetches too much claims nothing.
        "worker_enable_prefetch_count_reduction": False,
        "broker_transport_options": AT_ONCE,
    }


def _kombu_urls(nodes: list[str]) -> str:
    # When kombu goes on to another node it forgets its transport, and takes the one of the scheme.
    if len(nodes) == 1:
        return nodes[0]
    return ";".join(f"{SCHEME_OF_NODES}://{node.partition('://')[2]}" for node in nodes)


def _sqs(settings: Settings) -> dict[str, Any]:
    address = parse_sqs_address(settings.broker_url)
    patience = settings.broker.timeout.total_seconds()
    return {
        "broker_url": address.kombu_url,
        "broker_transport": "jobyard.broker.sqs.transport:Transport",
        "broker_transport_options": AT_ONCE
        | {
            "region": address.region,
            "is_secure": address.is_secure,
            "queue_name_prefix": address.prefix,
            "wait_time_seconds": LONG_POLL_SECONDS,
            "polling_interval": BETWEEN_POLLS_SECONDS,
            "visibility_timeout": _invisible_seconds(settings),
            "sqs-creation-attributes": {"MessageRetentionPeriod": str(RETENTION_SECONDS)},
            "sqs_base64_encoding": False,  # a message is plain JSON, whose body is base64 already
            # What fails is not tried again by botocore: the keeper does that, and nobody is held up.
            "client-config": {
                "connect_timeout": patience,
                "read_timeout": patience,
                "retries": {"total_max_attempts": 1},
                "tcp_keepalive": True,
            },
        },
        # Both need a message that goes to everybody, which SQS does not have.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
    }


def _invisible_seconds(settings: Settings) -> int:
    """Return after how long SQS hands a message out again that was fetched and not deleted.

    What comes twice claims nothing, and what a dead worker had fetched the keeper sends again: so it only has
    to be long enough to be rare.
    """
    hours = max(timedelta(hours=1), 2 * settings.worker.lease)
    return int(min(hours, LONGEST_INVISIBLE).total_seconds())


_OF_KIND: Final[dict[BrokerKind, Callable[[Settings], dict[str, Any]]]] = {
    BrokerKind.REDIS: _redis,
    BrokerKind.SENTINEL: _sentinel,
    BrokerKind.RABBITMQ: _rabbitmq,
    BrokerKind.SQS: _sqs,
}

"""What Celery is told about its broker: one function for each kind of broker, and what holds for all."""

from collections.abc import Callable
from typing import Any, Final

from kombu import Queue as KombuQueue

from config.bands import Band, band_name
from config.broker_kinds import BrokerKind, broker_kind
from config.queues import HIGHEST_PRIORITY, PRIORITIES, Queue
from config.redis_options import sentinel_options
from config.redis_urls import RedisPlace, parse_redis_url, plain_url
from config.settings import Settings

# Whoever asks the broker something is told at once that it is not there: kombu would try again for
# seconds on end (6 s measured), and the keeper or the next request does that anyway.
AT_ONCE: Final = {"max_retries": 3, "interval_start": 0, "interval_step": 0}


def broker_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's options for this broker and its queues."""
    return {
        "broker_url": settings.broker_url,
        "broker_connection_timeout": settings.broker.timeout.total_seconds(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker as long as it takes
        "broker_channel_error_retry": True,  # a full Redis answers with errors, and gets room again
        "task_default_queue": Queue.DEFAULT.value,
        "task_create_missing_queues": False,
        **_OF_KIND[broker_kind(settings.broker_url)](settings),
    }


def _redis(settings: Settings) -> dict[str, Any]:
    return {
        "broker_transport": "worker.redis_transport:Transport",
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
    return {"broker_transport": "worker.sentinel_transport:Transport", **told}


def _of_either_redis(settings: Settings, place: RedisPlace) -> dict[str, Any]:
    return {
        "broker_url": plain_url(settings.broker_url),
        "broker_use_ssl": dict(place.tls) or None,
        "broker_transport_options": _redis_transport_options(settings),
        "task_queues": _queues(),
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
        "broker_transport": "worker.rabbitmq_transport:Transport",
        "broker_transport_options": AT_ONCE,
        "task_queues": _quorum_queues()
        if settings.broker.queue_type == "quorum"
        else _queues({"x-max-priority": HIGHEST_PRIORITY}),
    }


def _quorum_queues() -> list[KombuQueue]:
    # `celery worker -Q email` finds the usual band by its alias, and `worker/bands.py` adds the urgent one.
    return [
        KombuQueue(
            band_name(name, band),
            alias=name.value if band is Band.USUAL else None,
            routing_key=band_name(name, band),
            queue_arguments={"x-queue-type": "quorum"},
        )
        for name in Queue
        for band in Band
    ]


def _sqs(settings: Settings) -> dict[str, Any]:
    return {"broker_transport_options": AT_ONCE, "task_queues": _queues()}


def _queues(arguments: dict[str, Any] | None = None) -> list[KombuQueue]:
    return [KombuQueue(name.value, routing_key=name.value, queue_arguments=arguments) for name in Queue]


_OF_KIND: Final[dict[BrokerKind, Callable[[Settings], dict[str, Any]]]] = {
    BrokerKind.REDIS: _redis,
    BrokerKind.SENTINEL: _sentinel,
    BrokerKind.RABBITMQ: _rabbitmq,
    BrokerKind.SQS: _sqs,
}

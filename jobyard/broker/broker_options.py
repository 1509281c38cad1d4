"""Celery's options for the broker: one function for each kind of broker, and the options for all of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from kombu import Queue as KombuQueue
from kombu.transport import TRANSPORT_ALIASES

from jobyard.settings import Settings
from jobyard.settings.application import get_application
from jobyard.settings.priority_bands import Band, band_name, broker_queues, has_bands
from jobyard.settings.queues import DEFAULT_QUEUE, HIGHEST_PRIORITY, PRIORITIES
from jobyard.settings.redis_options import sentinel_options
from jobyard.settings.urls.amqp import amqp_tls, plain_urls
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind
from jobyard.settings.urls.redis import RedisAddress, parse_redis_url, plain_url
from jobyard.settings.urls.sqs import parse_sqs_address

# A caller learns at once that the broker is not there: kombu would try again for seconds (6 s measured), and
# the keeper or the next request does that anyway.
FAIL_FAST: Final = {"max_retries": 3, "interval_start": 0, "interval_step": 0}
# The heartbeat is this many times the broker's longest time to answer, so that an answer that is still on its
# way is not taken for silence.
HEARTBEAT_TIMEOUTS: Final = 2

RABBITMQ_TRANSPORT: Final = "jobyard.broker.rabbitmq.transport:Transport"
CLUSTER_SCHEME: Final = "jobyard-amqp"
TRANSPORT_ALIASES[CLUSTER_SCHEME] = RABBITMQ_TRANSPORT

# How long SQS holds a poll open. SQS may give a message to a poll whose worker has ended already, so the
# longest time that SQS allows (20 s) is not the best.
LONG_POLL_SECONDS: Final = 10
# How often a worker with all its slots taken checks whether one is free.
POLLING_INTERVAL_SECONDS: Final = 0.05
# The longest visibility timeout that SQS allows.
LONGEST_VISIBILITY_TIMEOUT: Final = timedelta(hours=12)
# The longest that SQS keeps a message.
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
        "task_queues": [
            queue for name in _configured_queue_names(settings) for queue in kombu_queues(name, settings)
        ],
        "task_create_missing_queues": False,
        **_OPTIONS_BY_KIND[broker_kind(settings.broker_url)](settings),
    }


def _configured_queue_names(settings: Settings) -> list[str]:
    # Queues that tasks declare are added when the tasks are loaded, see `jobyard/broker/queues.py`.
    queues = (DEFAULT_QUEUE, *get_application().queues, *settings.queues)
    return sorted({queue.name for queue in queues})


def kombu_queues(name: str, settings: Settings) -> list[KombuQueue]:
    """Return the broker's queues for one of ours: a single one, or on quorum queues one for each band."""
    if has_bands(settings):
        # `celery worker -Q email` finds the usual band by its alias, and `jobyard/worker/served_queues.py`
        # adds the urgent band.
        return [
            KombuQueue(
                band_name(name, band),
                alias=name if band is Band.USUAL else None,
                routing_key=band_name(name, band),
                queue_arguments={"x-queue-type": "quorum"},
            )
            for band in Band
        ]
    [own] = broker_queues(name, settings)
    if broker_kind(settings.broker_url) is BrokerKind.RABBITMQ:
        arguments = {"x-max-priority": HIGHEST_PRIORITY}
        return [KombuQueue(own, alias=name, routing_key=own, queue_arguments=arguments)]
    return [KombuQueue(own, routing_key=own)]


def _redis(settings: Settings) -> dict[str, Any]:
    return {
        "broker_transport": "jobyard.broker.redis.transport:Transport",
        **_common_redis_options(settings, parse_redis_url(settings.broker_url)),
    }


def _sentinel(settings: Settings) -> dict[str, Any]:
    address = parse_redis_url(settings.broker_url)
    options = _common_redis_options(settings, address)
    # kombu would read the Sentinels from a list of URLs, and drop our transport when it goes to the next one.
    options["broker_transport_options"] |= {
        "sentinels": address.hosts,
        "sentinel_kwargs": sentinel_options(address, settings.broker.timeout),
        "master_name": address.master,
    }
    return {"broker_transport": "jobyard.broker.redis.sentinel_transport:Transport", **options}


def _common_redis_options(settings: Settings, address: RedisAddress) -> dict[str, Any]:
    return {
        "broker_url": plain_url(settings.broker_url),
        "broker_use_ssl": dict(address.tls) or None,
        "broker_transport_options": _redis_transport_options(settings),
    }


def _redis_transport_options(settings: Settings) -> dict[str, Any]:
    timeout_seconds = settings.broker.timeout.total_seconds()
    return FAIL_FAST | {
        # Stock workers at the same Redis neither find our lists, nor do we find theirs.
        "global_keyprefix": settings.key_prefix,
        "priority_steps": list(PRIORITIES),
        # kombu keeps no copy in Redis of the messages that a worker has fetched. With that copy a worker dies
        # when Redis restarts, fills up or resets a connection, and a job costs twice as much. It would
        # protect nothing here, because the keeper publishes again what was lost with a worker.
        "ack_emulation": False,
        "sep": ":",
        "queue_order_strategy": "priority",
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        # A connection that receives nothing for this long is checked, and after twice as long it is closed: a
        # frozen server sends nothing, and another server may be the master by then.
        "health_check_interval": timeout_seconds,
    }


def _rabbitmq(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": _kombu_urls(plain_urls(settings.broker_url)),
        "broker_use_ssl": amqp_tls(settings.broker_url),
        "broker_transport": RABBITMQ_TRANSPORT,
        # A worker that receives nothing for twice this long connects again; RabbitMQ closes the connection of
        # a silent worker after the same time.
        "broker_heartbeat": HEARTBEAT_TIMEOUTS * settings.broker.timeout.total_seconds(),
        "broker_transport_options": FAIL_FAST,
    }


def _kombu_urls(nodes: list[str]) -> str:
    # When kombu moves on to another node, it forgets its transport and takes the one of the URL's scheme.
    if len(nodes) == 1:
        return nodes[0]
    return ";".join(f"{CLUSTER_SCHEME}://{node.partition('://')[2]}" for node in nodes)


def _sqs(settings: Settings) -> dict[str, Any]:
    address = parse_sqs_address(settings.broker_url)
    timeout_seconds = settings.broker.timeout.total_seconds()
    return {
        "broker_url": address.kombu_url,
        "broker_transport": "jobyard.broker.sqs.transport:Transport",
        "broker_transport_options": FAIL_FAST
        | {
            "region": address.region,
            "is_secure": address.is_secure,
            "queue_name_prefix": address.prefix,
            "wait_time_seconds": LONG_POLL_SECONDS,
            "polling_interval": POLLING_INTERVAL_SECONDS,
            "visibility_timeout": _visibility_timeout_seconds(settings),
            "sqs-creation-attributes": {"MessageRetentionPeriod": str(RETENTION_SECONDS)},
            "sqs_base64_encoding": False,  # a message is plain JSON, and its body is base64 already
            # botocore does not repeat a failed request: the keeper does that, and no caller waits for it.
            "client-config": {
                "connect_timeout": timeout_seconds,
                "read_timeout": timeout_seconds,
                "retries": {"total_max_attempts": 1},
                "tcp_keepalive": True,
            },
        },
        # Both need broadcast messages, which SQS does not have.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
    }


def _visibility_timeout_seconds(settings: Settings) -> int:
    # After this time SQS delivers a message again that was fetched and not deleted. A second delivery claims
    # nothing, and the keeper sends again what a dead worker had fetched: so the time only has to be long
    # enough that second deliveries are rare.
    timeout = max(timedelta(hours=1), 2 * settings.worker.lease)
    return int(min(timeout, LONGEST_VISIBILITY_TIMEOUT).total_seconds())


_OPTIONS_BY_KIND: Final[dict[BrokerKind, Callable[[Settings], dict[str, Any]]]] = {
    BrokerKind.REDIS: _redis,
    BrokerKind.SENTINEL: _sentinel,
    BrokerKind.RABBITMQ: _rabbitmq,
    BrokerKind.SQS: _sqs,
}

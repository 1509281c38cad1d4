"""What Celery is told, as a pure function of the settings."""

from typing import Any
from urllib.parse import urlsplit

from kombu import Queue as KombuQueue

from config.kinds import REDIS_SCHEMES
from config.queues import HIGHEST_PRIORITY, PRIORITIES, Queue
from config.settings import Settings

BEAT_LOOP_SECONDS = 5
BEAT_LOCK_SECONDS = 15
KEY_PREFIX = "jobyard:"


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration; the broker is a doorbell, so nothing here asks it to remember."""
    return {
        **_broker(settings),
        **_messages(),
        **_workers(),
        **_beat(settings),
    }


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.broker_url,
        "broker_transport": _transport(settings),
        "broker_transport_options": _transport_options(settings),
        "broker_connection_timeout": settings.broker.timeout.total_seconds(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker as long as it takes
        "broker_channel_error_retry": True,  # a full Redis answers with errors, and gets room again
        "task_queues": [_queue(name, settings.broker_url) for name in Queue],
        "task_default_queue": Queue.DEFAULT.value,
        "task_create_missing_queues": False,
    }


def _transport(settings: Settings) -> str | None:
    is_redis = urlsplit(settings.broker_url).scheme in REDIS_SCHEMES
    return "worker.transport:Transport" if is_redis else None


def _transport_options(settings: Settings) -> dict[str, Any]:
    # Whoever asks the broker something is told at once that it is not there: kombu would try again for
    # seconds on end (6 s measured), and the keeper or the next request does that anyway.
    at_once = {"max_retries": 3, "interval_start": 0, "interval_step": 0}
    if urlsplit(settings.broker_url).scheme not in (*REDIS_SCHEMES, "sentinel"):
        return at_once
    patience = settings.broker.timeout.total_seconds()
    return at_once | {
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
        "health_check_interval": 25,
    }


def _queue(name: Queue, broker_url: str) -> KombuQueue:
    is_amqp = broker_url.startswith("amqp")
    arguments = {"x-max-priority": HIGHEST_PRIORITY} if is_amqp else None
    return KombuQueue(name.value, routing_key=name.value, queue_arguments=arguments)


def _messages() -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,  # results are in the ledger; a producer never waits for a backend
        "result_backend": None,
        "result_expires": None,  # or beat would schedule a clean-up of results that are none of Celery's
        "task_acks_late": True,  # acknowledged only after the ledger has the outcome
        "task_reject_on_worker_lost": False,  # the lease brings the job back, and counts the loss
        # A lost connection costs a job nothing: its result goes to the ledger, and the message
        # that comes a second time claims nothing. So it need not be killed.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    }


def _workers() -> dict[str, Any]:
    return {
        "imports": ("worker.steps",),
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,  # Flower lives on them
        "worker_hijack_root_logger": False,
        "worker_disable_rate_limits": True,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_scheduler": "beat.store:LedgerScheduler",
        "beat_max_loop_interval": BEAT_LOOP_SECONDS,
        "redbeat_redis_url": settings.redis_url,
        "redbeat_redis_options": {"socket_timeout": settings.broker.timeout.total_seconds()},
        "redbeat_key_prefix": f"{KEY_PREFIX}beat:",
        "redbeat_lock_timeout": BEAT_LOCK_SECONDS,  # after so long, and one loop, a standby takes over
    }

"""Celery's configuration, as a pure function of the settings."""

from typing import Any

from jobyard.broker.broker_options import broker_options
from jobyard.settings import Settings
from jobyard.settings.secrets import masked_url
from jobyard.settings.urls.redis import plain_url

BEAT_LOOP_SECONDS = 5
BEAT_LOCK_SECONDS = 15


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration; the ledger keeps jobs and results, and the broker stores neither."""
    return {
        **broker_options(settings),
        **_messages(),
        **_workers(),
        **_beat(settings),
    }


def _messages() -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,  # results are in the ledger; a producer never waits for a backend
        "result_backend": None,
        "result_expires": None,  # otherwise beat would schedule a clean-up of results, and Celery has none
        "task_acks_late": True,  # acknowledged only after the ledger has the outcome
        "task_reject_on_worker_lost": False,  # the lease brings the job back, and counts the loss
        # A job survives a lost connection: its result goes to the ledger, and a message that is delivered a
        # second time claims nothing. So Celery need not kill the job.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    }


def _workers() -> dict[str, Any]:
    return {
        "worker_consumer": "jobyard.worker.patient_consumer:PatientConsumer",
        "worker_prefetch_multiplier": 1,
        # Celery would fetch less after a lost connection, and raise the prefetch count again from the threads
        # that run jobs: on RabbitMQ two threads would then read one socket, and the worker would receive
        # nothing more. A message too many claims nothing.
        "worker_enable_prefetch_count_reduction": False,
        "worker_send_task_events": True,  # Flower reads them
        "worker_hijack_root_logger": False,
        "worker_disable_rate_limits": True,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_scheduler": "jobyard.schedules.scheduler:LedgerScheduler",
        "beat_max_loop_interval": BEAT_LOOP_SECONDS,
        # Only for display (Flower shows it); `jobyard/schedules/scheduler.py` opens the connection.
        "redbeat_redis_url": masked_url(plain_url(settings.redis_url)),
        "redbeat_redis_options": {"socket_timeout": settings.broker.timeout.total_seconds()},
        "redbeat_key_prefix": f"{settings.key_prefix}beat:",
        "redbeat_lock_timeout": BEAT_LOCK_SECONDS,  # after this time and one more loop a standby takes over
    }

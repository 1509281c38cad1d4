"""What Celery is told, as a pure function of the settings."""

from typing import Any

from jobyard.broker.broker_options import broker_options
from jobyard.settings import Settings
from jobyard.settings.urls.redis import plain_url

BEAT_LOOP_SECONDS = 5
BEAT_LOCK_SECONDS = 15


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration; the broker is a doorbell, so nothing here asks it to remember."""
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
        "imports": ("jobyard.worker.boot",),
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,  # Flower lives on them
        "worker_hijack_root_logger": False,
        "worker_disable_rate_limits": True,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_scheduler": "jobyard.schedules.scheduler:LedgerScheduler",
        "beat_max_loop_interval": BEAT_LOOP_SECONDS,
        "redbeat_redis_url": plain_url(
            settings.redis_url
        ),  # to be shown; `jobyard/schedules/scheduler.py` opens it
        "redbeat_redis_options": {"socket_timeout": settings.broker.timeout.total_seconds()},
        "redbeat_key_prefix": f"{settings.key_prefix}beat:",
        "redbeat_lock_timeout": BEAT_LOCK_SECONDS,  # after so long, and one loop, a standby takes over
    }

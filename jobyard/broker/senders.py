"""Chooses the sender for the broker of the settings; only that broker's client is imported."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from celery.signals import after_task_publish, before_task_publish, task_sent

from jobyard.broker.celery_sender import CelerySender
from jobyard.broker.message_sender import MessageSender
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

if TYPE_CHECKING:
    from jobyard.broker.redis.early_sender import EarlySender


def sender_for(settings: Settings) -> MessageSender:
    """Return the fastest sender for this broker that still sends the Celery signals that have receivers."""
    kind = broker_kind(settings.broker_url)
    if kind is BrokerKind.SQS or _is_instrumented():
        return CelerySender(settings)
    if kind is BrokerKind.RABBITMQ:
        from jobyard.broker.rabbitmq.sender import RabbitMQSender

        return RabbitMQSender(settings)
    from jobyard.broker.redis.sender import RedisSender

    return RedisSender(settings)


def early_sender_for(settings: Settings, on_lost: Callable[[QueuedJob], object]) -> "EarlySender | None":
    """Return the sender of early messages, or None where the broker or the settings allow none."""
    kind = broker_kind(settings.broker_url)
    is_redis = kind in (BrokerKind.REDIS, BrokerKind.SENTINEL)
    if not (is_redis and settings.broker.early) or _is_instrumented():
        return None
    from jobyard.broker.redis.early_sender import EarlySender

    return EarlySender(settings, on_lost)


def _is_instrumented() -> bool:
    # Tracing and metrics libraries connect to these signals, and only Celery's own way of sending emits them.
    return any(signal.receivers for signal in (before_task_publish, after_task_publish, task_sent))

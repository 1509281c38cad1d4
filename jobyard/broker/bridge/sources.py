"""Chooses the source of stock messages for the broker of `JOBYARD_CELERY__BROKER_URL`."""

from celery import Celery

from jobyard.broker.bridge.source import Source
from jobyard.broker.broker_options import broker_options
from jobyard.broker.old_broker import with_broker
from jobyard.settings import Settings
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind


def source_for(settings: Settings) -> Source:
    """Return the queues of `JOBYARD_CELERY__QUEUES`; connects at their first use."""
    url, queues = settings.celery_broker_url, settings.celery.queues
    if broker_kind(url) is BrokerKind.RABBITMQ:
        from jobyard.broker.bridge.rabbitmq_source import RabbitMQSource

        app = Celery("bridge", set_as_current=False)
        app.conf.update(broker_options(with_broker(settings, url)))
        # Heartbeats would not be answered during a commit, and RabbitMQ would close the connection.
        return RabbitMQSource(lambda: app.connection_for_read(heartbeat=0), queues)
    from jobyard.broker.bridge.redis_source import RedisSource

    return RedisSource(url, settings.broker.timeout, queues, settings.key_prefix)

"""Ways to send messages: the interface, Celery's own way, and which way leads to which broker."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from celery.signals import after_task_publish, before_task_publish, task_sent

from jobyard.broker.celery_app import app
from jobyard.broker.message_template import shown
from jobyard.broker.queues import add_queues
from jobyard.broker.rabbitmq.sender import RabbitMQPost
from jobyard.broker.redis.early_sender import RedisBell
from jobyard.broker.redis.sender import RedisPost
from jobyard.jobs.job import QueuedJob
from jobyard.settings import Settings
from jobyard.settings.priority_bands import broker_queue
from jobyard.settings.queues import broker_priority
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

MOST_IN_ONE_WRITE: Final = 100

Bundles = Sequence[Sequence[QueuedJob]]


class Post(Protocol):
    """Takes messages to the broker; for one thread."""

    def send(self, bundles: Bundles) -> None:
        """Send a message for each bundle, and return when the broker has taken them.

        Raises what kombu, the client of the broker or the network raise; then any of them may have arrived.
        """


class CeleryPost:
    """Sends with Celery and kombu alone: on every broker, with Celery's signals, one message at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, bundles: Bundles) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            pool_member: Any = producer  # `batch` is newer than the stubs
            with pool_member.batch(MOST_IN_ONE_WRITE):
                for bundle in bundles:
                    first = bundle[0]
                    add_queues([first.queue])
                    app.send_task(
                        first.task,
                        args=[[job.id for job in bundle]],
                        argsrepr=shown(bundle),
                        kwargsrepr="",
                        task_id=first.id,
                        queue=broker_queue(first.queue, first.priority, self._settings),
                        priority=broker_priority(first.priority, self._settings.broker_url),
                        producer=producer,
                        retry=False,
                    )


def post_for(settings: Settings) -> Post:
    """Return the quickest way to this broker that leaves nothing out that anybody listens for."""
    kind = broker_kind(settings.broker_url)
    if kind is BrokerKind.SQS or _somebody_listens():
        return CeleryPost(settings)
    if kind is BrokerKind.RABBITMQ:
        return RabbitMQPost(settings)
    return RedisPost(settings)


def bell_for(post: Post, settings: Settings, not_taken: Callable[[QueuedJob], object]) -> RedisBell | None:
    """Return what can send one message without waiting for the broker, where there is such a thing."""
    return RedisBell(settings, not_taken) if isinstance(post, RedisPost) else None


def _somebody_listens() -> bool:
    # Who instruments Celery, to carry a trace along or to count, does it by these signals.
    return any(signal.receivers for signal in (before_task_publish, after_task_publish, task_sent))

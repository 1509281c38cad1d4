"""The kinds of brokers, by the scheme of the URL."""

from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit


class BrokerKind(StrEnum):
    """A kind of broker, with its name for messages."""

    REDIS = "Redis"
    SENTINEL = "Redis Sentinel"
    RABBITMQ = "RabbitMQ"
    SQS = "SQS"


BROKER_SCHEMES: Final = {
    "redis": BrokerKind.REDIS,
    "rediss": BrokerKind.REDIS,
    "sentinel": BrokerKind.SENTINEL,
    "amqp": BrokerKind.RABBITMQ,
    "amqps": BrokerKind.RABBITMQ,
    "sqs": BrokerKind.SQS,
}
REDIS_SCHEMES: Final = ("redis", "rediss", "sentinel")


def broker_kind(url: str) -> BrokerKind:
    """Return the kind of broker that a URL leads to; raises `KeyError` for an unknown scheme."""
    return BROKER_SCHEMES[urlsplit(url).scheme]

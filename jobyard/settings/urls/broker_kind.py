"""The kinds of brokers, told by the scheme of the URL."""

from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit


class BrokerKind(StrEnum):
    """A kind of broker, as messages to people name it."""

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
    """Return the kind of broker that a URL leads to; raises `KeyError` for a scheme that is none of ours."""
    return BROKER_SCHEMES[urlsplit(url).scheme]

"""The types of settings' values: ports, comma-separated lists, queues, URLs."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, SecretStr
from pydantic_settings import NoDecode

from jobyard.settings.queues import Queue, parse_queues
from jobyard.settings.urls.amqp import AMQP_SCHEMES, check_amqp_urls
from jobyard.settings.urls.broker_kind import REDIS_SCHEMES
from jobyard.settings.urls.redis import parse_redis_url
from jobyard.settings.urls.sqs import check_sqs_url

LEDGER_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
FILES_SCHEMES = ("file", "s3", "gs", "az")
# RabbitMQ's limit for a queue's name.
LONGEST_CELERY_QUEUE = 255


def split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def with_scheme(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        try:
            scheme = urlsplit(url).scheme
        except ValueError:  # its message may hold a part of a password
            raise ValueError("this is not a URL: a bracket in it does not close") from None
        if scheme not in schemes:
            raise ValueError(f"the URL must begin with one of {', '.join(f'{s}://' for s in schemes)}")
        return url

    return AfterValidator(check)


def _check_redis(url: str) -> str:
    if urlsplit(url).scheme in REDIS_SCHEMES:
        parse_redis_url(url)
    return url


def _check_amqp(url: str) -> str:
    return check_amqp_urls(url) if urlsplit(url).scheme in AMQP_SCHEMES else url


def _as_queues(value: object) -> object:
    return parse_queues(value) if isinstance(value, str) else value


def _check_module(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is not a module's name: write it as in an import, like shop.jobs")
    return name


def _check_celery_queue(name: str) -> str:
    if not (name.isprintable() and len(name) <= LONGEST_CELERY_QUEUE):
        raise ValueError(
            f"{name[:100]!r} is no queue of Celery's: write its name as the producers have it, such as celery"
        )
    return name


def _check_management_api(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError("must look like http://user:password@host:15672/api/")
    return url


def _check_result_backend(url: str) -> str:
    scheme = url.partition("://")[0]
    if scheme == url:
        raise ValueError("write the result_backend of the stock workers as a URL, like redis://host/1")
    if scheme == "rpc":
        raise ValueError("rpc:// answers the sender alone: give the stock workers another result_backend")
    if scheme.partition("+")[0] == "jobyard":
        raise ValueError(
            "the ledger holds no answers of stock workers: name the result_backend that they have"
        )
    return url


Port = Annotated[int, Field(ge=1, le=65535)]
Modules = Annotated[
    tuple[Annotated[str, AfterValidator(_check_module)], ...], NoDecode, BeforeValidator(split_commas)
]
CeleryQueues = Annotated[
    tuple[Annotated[str, AfterValidator(_check_celery_queue)], ...], NoDecode, BeforeValidator(split_commas)
]
Queues = Annotated[tuple[InstanceOf[Queue], ...], NoDecode, BeforeValidator(_as_queues)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_commas)]
RedisChecked = AfterValidator(_check_redis)
SqsChecked = AfterValidator(check_sqs_url)
KeyPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]*$", max_length=100)]
ResultBackend = Annotated[str, AfterValidator(_check_result_backend)]
ManagementApi = Annotated[SecretStr, AfterValidator(_check_management_api)]
AmqpChecked = AfterValidator(_check_amqp)

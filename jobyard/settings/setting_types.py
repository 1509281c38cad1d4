"""What a setting's value may be: ports, comma-separated lists, URLs, the address of a sender."""

from typing import Annotated
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, SecretStr
from pydantic_settings import NoDecode

from jobyard.settings.allowed_networks import AllowedPlace
from jobyard.settings.urls.amqp import AMQP_SCHEMES, check_amqp_urls
from jobyard.settings.urls.broker_kind import REDIS_SCHEMES
from jobyard.settings.urls.redis import parse_redis_url
from jobyard.settings.urls.sqs import check_sqs_url

LEDGER_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
FILES_SCHEMES = ("file", "s3", "gs", "az")
SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def with_scheme(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        try:
            scheme = urlsplit(url).scheme
        except ValueError:  # whose words may hold a part of a password
            raise ValueError("this is no URL: a bracket in it does not close") from None
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


def _as_places(value: object) -> object:
    parts = _split_commas(value)
    if not isinstance(parts, tuple):
        return parts
    return tuple(AllowedPlace.parse(part) if isinstance(part, str) else part for part in parts)


def _check_module(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is no module's name: write it as in an import, like shop.jobs")
    return name


def _check_smtp(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_right = parts.scheme in SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket that does not close
        is_right = False
    if not is_right:
        raise ValueError(f"must look like smtp://host:port, with one of {', '.join(SMTP_SCHEMES)}")
    return url


def _check_management_api(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError("must look like http://user:password@host:15672/api/")
    return url


def _check_sender(text: str) -> str:
    try:
        validate_email(text, allow_display_name=True, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"no mail address: {error}") from None
    return text


Port = Annotated[int, Field(ge=1, le=65535)]
Modules = Annotated[
    tuple[Annotated[str, AfterValidator(_check_module)], ...], NoDecode, BeforeValidator(_split_commas)
]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_commas)]
Places = Annotated[tuple[InstanceOf[AllowedPlace], ...], NoDecode, BeforeValidator(_as_places)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_check_smtp)]
RedisChecked = AfterValidator(_check_redis)
SqsChecked = AfterValidator(check_sqs_url)
KeyPrefix = Annotated[str, Field(pattern=r"^[\w.:-]*$", max_length=100)]
ManagementApi = Annotated[SecretStr, AfterValidator(_check_management_api)]
AmqpChecked = AfterValidator(_check_amqp)
Sender = Annotated[str, AfterValidator(_check_sender)]

"""Every setting of the yard, as one frozen object read from the environment (prefix `JOBYARD_`).

Nested settings are separated by two underscores: `JOBYARD_API__PORT=8080`. A `.env` file in the
working directory is read too; the environment wins over it.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cache
from inspect import isclass
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingsError

from config.durations import Duration
from config.places import AllowedPlace

ENV_PREFIX = "JOBYARD_"
ENV_FILE = os.environ.get("JOBYARD_ENV_FILE", ".env")  # an empty name reads none
SEPARATOR = "\n  - "
LEDGER_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
FILES_SCHEMES = ("file", "s3", "gs", "az")
BROKER_SCHEMES = ("redis", "rediss", "sentinel", "amqp", "amqps", "sqs")
REDIS_SCHEMES = ("redis", "rediss")
SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")


class SettingsError(ValueError):
    """One or more settings are wrong; the message lists every one of them."""


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _with_scheme(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if urlsplit(url).scheme not in schemes:
            raise ValueError(f"the URL must begin with one of {', '.join(f'{s}://' for s in schemes)}")
        return url

    return AfterValidator(check)


def _as_places(value: object) -> object:
    parts = _split_commas(value)
    if not isinstance(parts, tuple):
        return parts
    return tuple(AllowedPlace.parse(part) if isinstance(part, str) else part for part in parts)


def _check_module(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is no module's name: write it as in an import, like shop.jobs")
    return name


Port = Annotated[int, Field(ge=1, le=65535)]
Modules = Annotated[
    tuple[Annotated[str, AfterValidator(_check_module)], ...], NoDecode, BeforeValidator(_split_commas)
]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_commas)]
Places = Annotated[tuple[InstanceOf[AllowedPlace], ...], NoDecode, BeforeValidator(_as_places)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LedgerSettings(Section):
    url: Annotated[str, _with_scheme(*LEDGER_SCHEMES)] | None = Field(
        None, description="SQLAlchemy URL; default `sqlite:///{home}/jobyard.db`."
    )
    busy_timeout: Duration = Field(
        timedelta(seconds=15), description="How long a statement waits for another writer (SQLite)."
    )
    pool_size: int = Field(5, ge=1, description="Connections kept for each process.")


class BrokerSettings(Section):
    url: Annotated[str, _with_scheme(*BROKER_SCHEMES)] | None = Field(
        None, description="Default: the embedded Valkey."
    )
    timeout: Duration = Field(
        timedelta(seconds=5), description="The longest wait for the broker to connect or to answer."
    )


class RedisSettings(Section):
    url: Annotated[str, _with_scheme(*REDIS_SCHEMES)] | None = Field(
        None, description="For RedBeat; default: the broker when that is Redis, else the embedded Valkey."
    )


class ValkeySettings(Section):
    port: Port = Field(6399, description="Port of the embedded Valkey that `make run` starts.")


class ApiSettings(Section):
    host: str = "127.0.0.1"
    port: Port = 8000
    keys: Secrets = Field((), description="Comma-separated API keys; needed on any address but loopback.")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="Largest JSON body of one job.")
    max_bulk_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="Largest body of a bulk call.")
    max_bulk_jobs: int = Field(10_000, ge=1, description="Most jobs in one bulk call.")
    max_wait: Duration = Field(timedelta(seconds=60), description="Longest `Prefer: wait=N`.")


class FlowerSettings(Section):
    host: str = "127.0.0.1"
    port: Port = 5555
    user: str = Field("jobyard", min_length=1)
    password: SecretStr | None = Field(
        None, description="Default: generated at first start and kept in `{home}/flower.password`."
    )


class SmtpSettings(Section):
    url: Annotated[SecretStr, AfterValidator(lambda url: _check_smtp(url))] | None = Field(
        None,
        description="`smtp://`, `smtps://` (TLS at once) or `smtp+starttls://`, user:password@host:port; "
        "default: the mail catcher of `make run`.",
    )
    sender: str = Field("jobyard@localhost.localdomain", description="From address where a mail names none.")
    timeout: Duration = timedelta(seconds=20)
    templates: Path = Field(Path("templates/mail"), description="Folder of the Jinja2 templates.")


class MailboxSettings(Section):
    port: Port = Field(2525, description="Port of the SMTP catcher that `make run` starts.")


class FilesSettings(Section):
    url: Annotated[str, _with_scheme(*FILES_SCHEMES)] | None = Field(
        None, description="`s3://`, `gs://`, `az://` or `file://` URL; default: `{home}/files`."
    )
    max_bytes: int = Field(64 * 1024 * 1024, ge=1, description="Largest file that is taken or kept.")


class TasksSettings(Section):
    modules: Modules = Field((), description="Comma-separated modules with your own tasks.")
    max_result_bytes: int = Field(1024 * 1024, ge=1024, description="Largest result; keep more as a file.")


class WorkerSettings(Section):
    threads: int = Field(16, ge=1, description="Threads of the worker for waiting work.")
    processes: int = Field(2, ge=1, description="Child processes of the worker for computing work.")
    lease: Duration = Field(
        timedelta(seconds=30), description="A job whose worker is silent for so long is taken back."
    )
    grace: Duration = Field(
        timedelta(seconds=20),
        description="How long a worker that is told to stop may finish what it runs; then it hands it back.",
    )
    child_memory_bytes: int = Field(
        2 * 1024**3, ge=256 * 1024**2, description="Address space of a child process (Linux)."
    )


class KeeperSettings(Section):
    interval: Duration = Field(timedelta(seconds=1), description="Time from one pass to the next.")
    unsent_after: Duration = Field(
        timedelta(seconds=2), description="A committed job that was not published by then is published."
    )
    resend_after: Duration = Field(
        timedelta(seconds=30),
        description="A published job that its queue has passed over for so long is published again; doubles.",
    )
    unknown_for: Duration = Field(
        timedelta(days=1), description="A job whose task no worker has known for so long is dead."
    )
    replay_rate: float = Field(
        50, gt=0, description="Most dead jobs that one order to replay many puts back, a second."
    )
    batch: int = Field(500, ge=1, description="Most jobs of one duty in one pass.")
    max_lost: int = Field(3, ge=1, description="A job that lost so many workers is dead.")


class CollectSettings(Section):
    allow: Places = Field(
        (), description="Comma-separated private networks (or NETWORK:PORT) to collect pages from."
    )
    user_agent: str = "Jobyard/0.1 (page.collect)"
    timeout: Duration = Field(
        timedelta(seconds=30), description="Whole time for one page, redirects included."
    )
    max_bytes: int = Field(10 * 1024 * 1024, ge=1, description="Largest page, counted after decompression.")
    max_redirects: int = Field(5, ge=0)
    host_interval: Duration = Field(
        timedelta(seconds=1), description="Least time between two requests to one host."
    )


class ImagesSettings(Section):
    max_pixels: int = Field(
        50_000_000, ge=1, description="Most pixels a picture may declare, frames included."
    )
    max_outputs: int = Field(10, ge=1)


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["console", "json"] = "console"


class Settings(BaseSettings):
    """All settings; wrong ones are refused together, see `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",  # a .env file may hold other programs' variables; ours are checked by name below
    )

    home: Path = Field(Path("var"), description="Where the embedded default keeps its files.")
    ledger: LedgerSettings = LedgerSettings()
    broker: BrokerSettings = BrokerSettings()
    redis: RedisSettings = RedisSettings()
    valkey: ValkeySettings = ValkeySettings()
    api: ApiSettings = ApiSettings()
    flower: FlowerSettings = FlowerSettings()
    smtp: SmtpSettings = SmtpSettings()
    mailbox: MailboxSettings = MailboxSettings()
    files: FilesSettings = FilesSettings()
    tasks: TasksSettings = TasksSettings()
    worker: WorkerSettings = WorkerSettings()
    keeper: KeeperSettings = KeeperSettings()
    collect: CollectSettings = CollectSettings()
    images: ImagesSettings = ImagesSettings()
    log: LogSettings = LogSettings()

    @property
    def ledger_url(self) -> str:
        url = self.ledger.url or f"sqlite:///{self.home.absolute() / 'jobyard.db'}"
        # SQLAlchemy would look for another driver than the one that is installed.
        return f"postgresql+psycopg://{url[13:]}" if url.startswith("postgresql://") else url

    @property
    def embedded_redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.valkey.port}/0"

    @property
    def broker_url(self) -> str:
        return self.broker.url or self.embedded_redis_url

    @property
    def redis_url(self) -> str:
        if self.redis.url:
            return self.redis.url
        broker_is_redis = urlsplit(self.broker_url).scheme in REDIS_SCHEMES
        return self.broker_url if broker_is_redis else self.embedded_redis_url

    @property
    def smtp_url(self) -> str:
        return self.smtp.url.get_secret_value() if self.smtp.url else f"smtp://127.0.0.1:{self.mailbox.port}"

    @property
    def files_url(self) -> str:
        return self.files.url or (self.home.absolute() / "files").as_uri()

    @model_validator(mode="wrap")
    @classmethod
    def _is_right_as_a_whole(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        wrong: list[str] = []
        try:
            settings = handler(values)
        except ValidationError as error:
            # What does not fit together is said in the same message, so the right ones are looked at alone.
            details = error.errors(include_url=False, include_input=False)
            wrong = [_sentence(detail) for detail in details]
            settings = handler(_without(values, [detail["loc"] for detail in details]))
        wrong += [
            *settings._open_without_keys(),
            *settings._ports_taken_twice(),
            *settings._leases_too_short(),
        ]
        if wrong:
            raise ValueError(SEPARATOR.join(wrong))
        return settings

    def _open_without_keys(self) -> Iterator[str]:
        if not self.api.keys and not is_loopback(self.api.host):
            yield (
                f"{ENV_PREFIX}API__HOST is {self.api.host}, which others can reach: "
                f"set {ENV_PREFIX}API__KEYS, or bind to 127.0.0.1"
            )

    def _ports_taken_twice(self) -> Iterator[str]:
        ports = {
            "VALKEY__PORT": self.valkey.port,
            "API__PORT": self.api.port,
            "FLOWER__PORT": self.flower.port,
            "MAILBOX__PORT": self.mailbox.port,
        }
        for (name, port), (other, others) in combinations(ports.items(), 2):
            if port == others:
                yield f"{ENV_PREFIX}{name} and {ENV_PREFIX}{other} are both {port}: change one of them"

    def _leases_too_short(self) -> Iterator[str]:
        if self.worker.lease < 3 * self.keeper.interval:
            yield f"{ENV_PREFIX}WORKER__LEASE must be at least three times {ENV_PREFIX}KEEPER__INTERVAL"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`; names other than localhost count as open."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_smtp(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_right = parts.scheme in SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket that does not close
        is_right = False
    if not is_right:
        raise ValueError(f"must look like smtp://host:port, with one of {', '.join(SMTP_SCHEMES)}")
    return url


def load_settings() -> Settings:
    """Read the settings; raises `SettingsError` that names every wrong one at once."""
    wrong = _unknown_names([*dotenv_values(ENV_FILE), *os.environ])
    try:
        settings = Settings()
    except UnreadableSettingsError as error:  # a section that was given as a whole, and is named already
        wrong = wrong or [str(error)]
    except ValidationError as error:
        [whole] = error.errors(include_url=False, include_input=False)
        wrong += whole["msg"].removeprefix("Value error, ").split(SEPARATOR)
    if wrong:
        raise SettingsError(SEPARATOR.join(["These settings are wrong:", *dict.fromkeys(wrong)]))
    return settings


def _without(values: Any, places: Iterable[tuple[Any, ...]]) -> Any:
    rest = {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
    for section, *setting in places:
        if setting:
            rest[section].pop(setting[0], None)
        else:
            rest.pop(section, None)
    return rest


def _unknown_names(names: Iterable[str]) -> list[str]:
    known = set(_names_of(Settings, ENV_PREFIX))
    return [
        f"{name}: there is no such setting; the README lists all of them"
        for name in names
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known
    ]


def _names_of(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from _names_of(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def _sentence(detail: Any) -> str:
    where = "__".join(str(part) for part in detail["loc"] if not isinstance(part, int)).upper()
    what = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        what = "there is no such setting; the README lists all of them"
    return f"{ENV_PREFIX}{where}: {what}" if where else what


@cache
def get_settings() -> Settings:
    """Return this process's settings, read once."""
    return load_settings()

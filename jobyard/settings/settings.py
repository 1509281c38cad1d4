"""Every setting of the yard, as one frozen object read from the environment (prefix `JOBYARD_`).

Nested settings are separated by two underscores: `JOBYARD_API__PORT=8080`. A `.env` file in the
working directory, or the file that `JOBYARD_ENV_FILE` names, is read too; the environment wins over it.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from inspect import isclass
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingsError

from jobyard.settings.sections import (
    ApiSettings,
    BrokerSettings,
    CollectSettings,
    FilesSettings,
    FlowerSettings,
    ImagesSettings,
    KeeperSettings,
    LedgerSettings,
    LogSettings,
    MailboxSettings,
    RedisSettings,
    SmtpSettings,
    TasksSettings,
    ValkeySettings,
    WorkerSettings,
)
from jobyard.settings.urls.broker_kind import REDIS_SCHEMES

ENV_PREFIX = "JOBYARD_"
ENV_FILE_VARIABLE = f"{ENV_PREFIX}ENV_FILE"
NO_SUCH_SETTING = "there is no such setting; `make config` shows all of them"
SEPARATOR = "\n  - "


class SettingsError(ValueError):
    """One or more settings are wrong; the message lists every one of them."""


class Settings(BaseSettings):
    """All settings; wrong ones are refused together, see `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
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


def load_settings() -> Settings:
    """Read the settings; raises `SettingsError` that names every wrong one at once."""
    file = os.environ.get(ENV_FILE_VARIABLE, ".env") or None  # an empty name reads none
    wrong = _unknown_names([*(dotenv_values(file) if file else ()), *os.environ])
    if file and ENV_FILE_VARIABLE in os.environ and not Path(file).is_file():
        wrong.append(f"{ENV_FILE_VARIABLE}: there is no file {file}")
    try:
        settings = Settings(_env_file=file)
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
    known = {*_names_of(Settings, ENV_PREFIX), ENV_FILE_VARIABLE}
    return [
        f"{name}: {NO_SUCH_SETTING}"
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
        what = NO_SUCH_SETTING
    return f"{ENV_PREFIX}{where}: {what}" if where else what


@cache
def get_settings() -> Settings:
    """Return this process's settings, read once."""
    return load_settings()

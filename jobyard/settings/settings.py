"""All settings, as one frozen object that is read from the environment (prefix `JOBYARD_`).

Nested settings are separated by two underscores: `JOBYARD_API__PORT=8080`. A `.env` file in the
working directory, or the file that `JOBYARD_ENV_FILE` names, is read too; the environment wins over it.
The application adds sections of its own (`jobyard/settings/application.py`).
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingsError

from jobyard.settings.application import (
    ENV_FILE_VARIABLE,
    SettingsSection,
    environment_file,
    get_application,
)
from jobyard.settings.errors import SettingsError
from jobyard.settings.generated_password import generated_password
from jobyard.settings.locked_cache import locked_cache
from jobyard.settings.sections import (
    ApiSettings,
    BrokerSettings,
    CelerySettings,
    FilesSettings,
    FlowerSettings,
    KeeperSettings,
    LedgerSettings,
    LogSettings,
    RedisSettings,
    TasksSettings,
    ValkeySettings,
    WorkerSettings,
)
from jobyard.settings.setting_types import Queues
from jobyard.settings.urls.broker_kind import REDIS_SCHEMES
from jobyard.settings.variables import (
    ENV_PREFIX,
    NO_SUCH_SETTING,
    given_variables,
    unknown_variables,
)

__all__ = ["ENV_PREFIX", "Settings", "SettingsError", "get_section", "get_settings", "load_settings"]

SEPARATOR: Final = "\n  - "

Section = TypeVar("Section", bound=SettingsSection)


class Settings(BaseSettings):
    """All settings; `load_settings` reports all wrong ones together."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",  # a .env file may hold other programs' variables; `load_settings` checks ours
    )

    home: Path = Field(Path("var"), description="Folder of the default ledger, file store and Valkey.")
    queues: Queues = Field(
        (),
        description="More queues, and the kind of worker for each: `reports=threads, gpu=prefork`; they win "
        "over the application's.",
    )
    ledger: LedgerSettings = LedgerSettings()
    broker: BrokerSettings = BrokerSettings()
    redis: RedisSettings = RedisSettings()
    valkey: ValkeySettings = ValkeySettings()
    api: ApiSettings = ApiSettings()
    flower: FlowerSettings = FlowerSettings()
    files: FilesSettings = FilesSettings()
    tasks: TasksSettings = TasksSettings()
    worker: WorkerSettings = WorkerSettings()
    keeper: KeeperSettings = KeeperSettings()
    celery: CelerySettings = CelerySettings()
    log: LogSettings = LogSettings()

    @property
    def ledger_url(self) -> str:
        url = self.ledger.url or f"sqlite:///{self.home.absolute() / 'jobyard.db'}"
        # Without a driver's name SQLAlchemy would look for psycopg2, and psycopg is installed.
        return f"postgresql+psycopg://{url[13:]}" if url.startswith("postgresql://") else url

    @property
    def valkey_password(self) -> str:
        """The password of the embedded Valkey, generated when it is first asked for; `SettingsError`.

        Empty where the home folder is missing: no Valkey runs there, and who looks in a wrong place leaves
        nothing behind.
        """
        return generated_password(self.home / "valkey.password") if self.home.exists() else ""

    @cached_property
    def embedded_redis_url(self) -> str:
        password = self.valkey_password
        return f"redis://{password and f':{password}@'}127.0.0.1:{self.valkey.port}/0"

    @property
    def is_broker_embedded(self) -> bool:
        return self.broker.url is None

    @property
    def is_redis_embedded(self) -> bool:
        """Tell whether schedules and live state are in the embedded Valkey."""
        has_redis_broker = self.broker.url and urlsplit(self.broker.url).scheme in REDIS_SCHEMES
        return self.redis.url is None and not has_redis_broker

    @property
    def broker_url(self) -> str:
        return self.broker.url or self.embedded_redis_url

    @property
    def celery_broker_url(self) -> str:
        """The broker of stock Celery producers and workers."""
        return self.celery.broker_url or self.broker_url

    @property
    def redis_url(self) -> str:
        return self.embedded_redis_url if self.is_redis_embedded else self.redis.url or self.broker_url

    @property
    def key_prefix(self) -> str:
        """The prefix of Jobyard's own keys in Redis, apart from the broker's."""
        return f"{self.redis.prefix}jobyard:"

    @property
    def files_url(self) -> str:
        if self.tasks.eager:
            return "memory:///"
        return self.files.url or (self.home.absolute() / "files").as_uri()

    @model_validator(mode="wrap")
    @classmethod
    def _check_whole(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        wrong: list[str] = []
        try:
            settings = handler(values)
        except ValidationError as error:
            # The same message reports settings that contradict each other, so the valid ones are checked too.
            details = error.errors(include_url=False, include_input=False)
            wrong = [_sentence(detail) for detail in details]
            settings = handler(_without(values, [detail["loc"] for detail in details]))
        wrong += [
            *settings._missing_api_keys(),
            *settings._duplicate_ports(),
            *settings._short_lease(),
            *settings._bridge_on_sqs(),
        ]
        if wrong:
            raise ValueError(SEPARATOR.join(wrong))
        return settings

    def _missing_api_keys(self) -> Iterator[str]:
        if not self.api.keys and not is_loopback(self.api.host):
            yield (
                f"{ENV_PREFIX}API__HOST is {self.api.host}, which others can reach: "
                f"set {ENV_PREFIX}API__KEYS, or bind to 127.0.0.1"
            )

    def _duplicate_ports(self) -> Iterator[str]:
        ports = {
            f"{ENV_PREFIX}{name.upper()}__PORT": section.port
            for name in type(self).model_fields
            if hasattr(section := getattr(self, name), "port")
        }
        for (name, port), (other_name, other_port) in combinations(ports.items(), 2):
            if port == other_port:
                yield f"{name} and {other_name} are both {port}: change one of them"

    def _bridge_on_sqs(self) -> Iterator[str]:
        if self.celery.queues and urlsplit(self.celery_broker_url).scheme == "sqs":
            yield (
                f"{ENV_PREFIX}CELERY__QUEUES: messages of stock producers are taken from Redis and RabbitMQ, "
                f"not from SQS; name their broker in {ENV_PREFIX}CELERY__BROKER_URL"
            )

    def _short_lease(self) -> Iterator[str]:
        if self.worker.lease < 3 * self.keeper.interval:
            yield f"{ENV_PREFIX}WORKER__LEASE must be at least three times {ENV_PREFIX}KEEPER__INTERVAL"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`; of names, only localhost counts."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def settings_class() -> type[Settings]:
    """Return `Settings` with the application's sections; raises `SettingsError` for a reserved name."""
    sections = get_application().settings
    if taken := sorted(sections.keys() & Settings.model_fields.keys()):
        raise SettingsError(
            f"the application's sections {', '.join(taken)} have names of Jobyard's own: rename them"
        )
    fields: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    return create_model("Settings", __base__=Settings, **fields)


def load_settings() -> Settings:
    """Read the settings; raises one `SettingsError` that names every wrong setting."""
    file, settings_type = environment_file(), settings_class()
    wrong = unknown_variables(settings_type, given_variables())
    if file and ENV_FILE_VARIABLE in os.environ and not file.is_file():
        wrong.append(f"{ENV_FILE_VARIABLE}: there is no file {file}")
    try:
        settings = settings_type(_env_file=file)
    except UnreadableSettingsError as error:  # a section that was set as a whole, and is listed already
        wrong = wrong or [str(error)]
    except ValidationError as error:
        [whole] = error.errors(include_url=False, include_input=False)
        found = whole["msg"].removeprefix("Value error, ").split(SEPARATOR)
        unknown = {f"{line.partition(':')[0]}: {NO_SUCH_SETTING}" for line in wrong}
        wrong += [line for line in found if line not in unknown]
    if wrong:
        raise SettingsError(SEPARATOR.join(["These settings are wrong:", *dict.fromkeys(wrong)]))
    return settings


def _without(values: Any, paths: Iterable[tuple[Any, ...]]) -> Any:
    remaining = {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
    for section, *setting in paths:
        if not setting:
            remaining.pop(section, None)
        elif isinstance(remaining.get(section), dict):
            remaining[section].pop(setting[0], None)
    return remaining


def _sentence(detail: Any) -> str:
    name = "__".join(str(part) for part in detail["loc"] if not isinstance(part, int)).upper()
    reason = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        reason = NO_SUCH_SETTING
    return f"{ENV_PREFIX}{name}: {reason}" if name else reason


@locked_cache
def get_settings() -> Settings:
    """Return this process's settings, which are read once."""
    get_application()  # whose module may need the settings, when it makes a `Jobyard`
    return load_settings()


def get_section(section_type: type[Section]) -> Section:
    """Return a section that the application has added; raises `SettingsError` for any other."""
    for name, known_type in get_application().settings.items():
        if known_type is section_type:
            section: Section = getattr(get_settings(), name)
            return section
    raise SettingsError(
        f"{section_type.__name__} is not a section of this application: add it to Application(settings=...)"
    )

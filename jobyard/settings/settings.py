"""Every setting, as one frozen object that is read from the environment (prefix `JOBYARD_`).

Nested settings are separated by two underscores: `JOBYARD_API__PORT=8080`. A `.env` file in the
working directory, or the file that `JOBYARD_ENV_FILE` names, is read too; the environment wins over it.
The application adds sections of its own (`jobyard/settings/application.py`).
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from inspect import isclass
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingsError

from jobyard.settings.application import (
    APP_VARIABLE,
    ENV_FILE_VARIABLE,
    SettingsSection,
    environment_file,
    get_application,
)
from jobyard.settings.errors import SettingsError
from jobyard.settings.sections import (
    ApiSettings,
    BrokerSettings,
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

__all__ = ["ENV_PREFIX", "Settings", "SettingsError", "get_section", "get_settings", "load_settings"]

ENV_PREFIX: Final = "JOBYARD_"
NO_SUCH_SETTING: Final = "there is no such setting; `jobyard config` shows all of them"
SEPARATOR: Final = "\n  - "
# Variables that begin like settings and are read before them.
READ_FIRST: Final = (ENV_FILE_VARIABLE, APP_VARIABLE)
# Settings of earlier versions, and what to do instead: one that is still given must not stop a start.
RETIRED: Final = {
    f"{ENV_PREFIX}API__COMMITTER": f"it has no effect any more; {ENV_PREFIX}API__PROCESSES=2 takes its place"
}

Section = TypeVar("Section", bound=SettingsSection)


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
    queues: Queues = Field(
        (),
        description="More queues, and the kind of workers for them: `reports=threads, gpu=prefork`; what is "
        "said here wins over what the application says.",
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
    def key_prefix(self) -> str:
        """What Jobyard's own keys in Redis begin with: those that are not the broker's."""
        return f"{self.redis.prefix}jobyard:"

    @property
    def files_url(self) -> str:
        return self.files.url or (self.home.absolute() / "files").as_uri()

    @model_validator(mode="wrap")
    @classmethod
    def _is_right_as_a_whole(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        wrong: list[str] = []
        values = _without(values, [_place(name) for name in RETIRED])
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
            f"{ENV_PREFIX}{name.upper()}__PORT": section.port
            for name in type(self).model_fields
            if hasattr(section := getattr(self, name), "port")
        }
        for (name, port), (other, others) in combinations(ports.items(), 2):
            if port == others:
                yield f"{name} and {other} are both {port}: change one of them"

    def _leases_too_short(self) -> Iterator[str]:
        if self.worker.lease < 3 * self.keeper.interval:
            yield f"{ENV_PREFIX}WORKER__LEASE must be at least three times {ENV_PREFIX}KEEPER__INTERVAL"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`; names other than localhost count as open."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def settings_class() -> type[Settings]:
    """Return the settings with the sections of the application; raises `SettingsError` for a name that is
    taken."""
    sections = get_application().settings
    if taken := sorted(sections.keys() & Settings.model_fields.keys()):
        raise SettingsError(
            f"the application has settings called {', '.join(taken)}, and so has Jobyard: rename its own"
        )
    more: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    return create_model("Settings", __base__=Settings, **more)


def load_settings() -> Settings:
    """Read the settings; raises `SettingsError` that names every wrong one at once."""
    file, kind = environment_file(), settings_class()
    wrong = _unknown_names(kind, _given_names(file))
    if file and ENV_FILE_VARIABLE in os.environ and not file.is_file():
        wrong.append(f"{ENV_FILE_VARIABLE}: there is no file {file}")
    try:
        settings = kind(_env_file=file)
    except UnreadableSettingsError as error:  # a section that was given as a whole, and is named already
        wrong = wrong or [str(error)]
    except ValidationError as error:
        [whole] = error.errors(include_url=False, include_input=False)
        wrong += whole["msg"].removeprefix("Value error, ").split(SEPARATOR)
    if wrong:
        raise SettingsError(SEPARATOR.join(["These settings are wrong:", *dict.fromkeys(wrong)]))
    return settings


def retired_settings() -> list[str]:
    """Return a sentence for each setting that is given, and that Jobyard has no longer: it is ignored."""
    given = {name.upper() for name in _given_names(environment_file())}
    return [f"{name}: {instead}" for name, instead in RETIRED.items() if name in given]


def _given_names(file: Path | None) -> list[str]:
    return [*(dotenv_values(file) if file else ()), *os.environ]


def _without(values: Any, places: Iterable[tuple[Any, ...]]) -> Any:
    rest = {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
    for section, *setting in places:
        if not setting:
            rest.pop(section, None)
        elif isinstance(rest.get(section), dict):
            rest[section].pop(setting[0], None)
    return rest


def _place(variable: str) -> tuple[str, ...]:
    return tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))


def _unknown_names(kind: type[Settings], names: Iterable[str]) -> list[str]:
    known = {*_names_of(kind, ENV_PREFIX), *READ_FIRST, *RETIRED}
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


def get_section(kind: type[Section]) -> Section:
    """Return a section that the application has added; raises `SettingsError` for one that it has not."""
    for name, section in get_application().settings.items():
        if section is kind:
            found: Section = getattr(get_settings(), name)
            return found
    raise SettingsError(
        f"{kind.__name__} is no section of this application: add it to Application(settings=...)"
    )

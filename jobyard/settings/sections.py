"""The sections of the settings. Rules across sections are in `settings.py`."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from jobyard.settings.application import SettingsSection
from jobyard.settings.durations import Duration
from jobyard.settings.retention import DEFAULT as DEFAULT_RETENTION
from jobyard.settings.retention import Retention
from jobyard.settings.setting_types import (
    FILES_SCHEMES,
    LEDGER_SCHEMES,
    AmqpChecked,
    CeleryQueues,
    KeyPrefix,
    ManagementApi,
    Modules,
    Port,
    RedisChecked,
    ResultBackend,
    Secrets,
    SqsChecked,
    with_scheme,
)
from jobyard.settings.urls.amqp import AMQP_SCHEMES
from jobyard.settings.urls.broker_kind import BROKER_SCHEMES, REDIS_SCHEMES


class LedgerSettings(SettingsSection):
    url: Annotated[str, with_scheme(*LEDGER_SCHEMES)] | None = Field(
        None, description="SQLAlchemy URL; default `sqlite:///{home}/jobyard.db`."
    )
    busy_timeout: Duration = Field(
        timedelta(seconds=15), description="How long a statement waits for another writer (SQLite)."
    )
    timeout: Duration = Field(
        timedelta(seconds=10),
        description="Longest wait for a connection to the ledger, and for a statement of it (PostgreSQL); "
        "how long jobs whose commit got no answer are tried again.",
    )
    pool_size: int = Field(
        5,
        ge=1,
        description="Connections kept for each process, opened when needed; ten more when it is busy. "
        "On PostgreSQL the same number again for transactions of one statement.",
    )
    inline_bytes: int = Field(
        64 * 1024, ge=1024, description="Longer payloads and results are kept in the file store."
    )
    retention: Retention = Field(
        DEFAULT_RETENTION,
        description="How long jobs are kept after their end: `P30D, dead=P90D, email.send/succeeded=P7D`.",
    )


class BrokerSettings(SettingsSection):
    url: Annotated[str, with_scheme(*BROKER_SCHEMES), RedisChecked, AmqpChecked, SqsChecked] | None = Field(
        None, description="Default: the embedded Valkey."
    )
    timeout: Duration = Field(
        timedelta(seconds=5), description="The longest wait for the broker to connect or to answer."
    )
    early: bool = Field(
        True,
        description="Redis: when few jobs come, send the message about a plain job while its row is being "
        "committed, and not after.",
    )
    queue_type: Literal["classic", "quorum"] = Field(
        "classic",
        description="RabbitMQ: `classic` queues have ten priorities; `quorum` queues have two, and survive "
        "the loss of a node.",
    )


class RedisSettings(SettingsSection):
    url: Annotated[str, with_scheme(*REDIS_SCHEMES), RedisChecked] | None = Field(
        None,
        description="For schedules and live state; default: the broker when that is Redis or Sentinel, "
        "else the embedded Valkey.",
    )
    prefix: KeyPrefix = Field(
        "",
        description="Prefix of every key and channel name, in the broker too where that is Redis; "
        "installations that share a Redis need different prefixes.",
    )


class ValkeySettings(SettingsSection):
    port: Port = Field(6399, description="Port of the embedded Valkey that `make run` starts.")


class ApiSettings(SettingsSection):
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: Port = Field(8000, description="Port that the API listens on.")
    keys: Secrets = Field((), description="Comma-separated API keys; needed on any address but loopback.")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="Largest JSON body of one job.")
    max_bulk_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="Largest body of a bulk call.")
    max_bulk_jobs: int = Field(10_000, ge=1, description="Most jobs in one bulk call.")
    max_wait: Duration = Field(timedelta(seconds=60), description="Longest `Prefer: wait=N`.")
    max_connections: int = Field(
        4096,
        ge=16,
        description="Most connections at once; of more, those that were silent for longest are ended.",
    )
    committer: bool = Field(
        True,
        description="Under load a process beside the server commits and publishes (90 MiB).",
    )


class FlowerSettings(SettingsSection):
    host: str = Field("127.0.0.1", description="Address that Flower listens on.")
    port: Port = Field(5555, description="Port that Flower listens on.")
    user: str = Field("jobyard", min_length=1, description="User name of Flower's login.")
    password: SecretStr | None = Field(
        None, description="Default: generated at first start and kept in `{home}/flower.password`."
    )
    broker_api: ManagementApi | None = Field(
        None,
        description="RabbitMQ's management API, for Flower's page of queues: "
        "`http://user:password@host:15672/api/`; default: that port of the broker's host, with its user.",
    )


class FilesSettings(SettingsSection):
    url: Annotated[str, with_scheme(*FILES_SCHEMES)] | None = Field(
        None, description="`s3://`, `gs://`, `az://` or `file://` URL; default: `{home}/files`."
    )
    max_bytes: int = Field(64 * 1024 * 1024, ge=1, description="Largest file that is accepted or stored.")


class TasksSettings(SettingsSection):
    modules: Modules = Field((), description="Comma-separated modules with your own tasks.")
    time_limit: Duration = Field(
        timedelta(days=1),
        description="Limit of the tasks that declare neither `time_limit` nor `soft_time_limit`.",
    )
    max_losses: int | None = Field(
        None,
        ge=0,
        description="How many workers a job may lose and be started again, where its task does not say; "
        "0: never a second time. Default: one fewer than `JOBYARD_KEEPER__MAX_LOST`.",
    )
    max_result_bytes: int = Field(1024 * 1024, ge=1024, description="Largest result; keep more as a file.")
    eager: bool = Field(
        False,
        description="For tests: a job runs to its end where it is handed in, on a ledger in memory.",
    )
    eager_propagates: bool = Field(
        False,
        description="With `JOBYARD_TASKS__EAGER`: who hands a job in meets the exception of one that fails.",
    )


class WorkerSettings(SettingsSection):
    threads: int = Field(16, ge=1, description="Threads of the worker for waiting work.")
    coroutines: int = Field(
        500, ge=1, description="Most jobs of `async def` tasks that one worker process runs at once."
    )
    processes: int = Field(2, ge=1, description="Child processes of the worker for computing work.")
    lease: Duration = Field(
        timedelta(seconds=30), description="A job whose worker is silent for this long is taken from it."
    )
    grace: Duration = Field(
        timedelta(seconds=20),
        description="How long a stopping worker may finish its jobs; then it hands them back.",
    )
    child_memory_bytes: int = Field(
        2 * 1024**3, ge=256 * 1024**2, description="Address space of a child process (Linux)."
    )


class KeeperSettings(SettingsSection):
    interval: Duration = Field(timedelta(seconds=1), description="Time between two passes of the keeper.")
    unsent_after: Duration = Field(
        timedelta(seconds=2),
        description="The keeper publishes a committed job that is not published after this time.",
    )
    resend_after: Duration = Field(
        timedelta(seconds=30),
        description="A published job whose message the broker has lost is published again after this time.",
    )
    unknown_for: Duration = Field(
        timedelta(days=1),
        description="A job whose task no worker has known, or whose payload none could read, for this long "
        "is dead.",
    )
    replay_rate: float = Field(
        50, gt=0, description="Most dead jobs a second that one replay order puts back into their queues."
    )
    batch: int = Field(
        500,
        ge=1,
        description="Jobs that the keeper moves in one transaction; "
        "ten times this number while it is behind.",
    )
    max_lost: int = Field(3, ge=1, description="A job that lost this many workers is dead.")


class CelerySettings(SettingsSection):
    queues: CeleryQueues = Field(
        (),
        description="Comma-separated queues of stock Celery producers, by their own names; each worker makes "
        "jobs of their messages.",
    )
    broker_url: (
        Annotated[str, with_scheme(*REDIS_SCHEMES, *AMQP_SCHEMES), RedisChecked, AmqpChecked] | None
    ) = Field(
        None, description="The broker of stock Celery, a Redis or a RabbitMQ; default: `JOBYARD_BROKER__URL`."
    )
    priority: Literal["high_first", "redis"] | None = Field(
        None,
        description="What a `priority=` in code that was written for Celery means: `high_first`, as on "
        "RabbitMQ (9 is first), or `redis` (0 is first).",
    )
    result_backend: ResultBackend | None = Field(
        None, description="The `result_backend` of stock workers that run external tasks."
    )


class LogSettings(SettingsSection):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged."
    )
    format: Literal["console", "json"] = Field(
        "console", description="`console` for people, `json` for machines."
    )

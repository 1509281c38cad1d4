"""What each of Celery's settings is here: honoured, harmless, or refused with the way out. Pure data.

Keys have Celery's lower-case names; `celery_key` finds one by any name that Celery takes for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Meaning(StrEnum):
    """What becomes of a setting of Celery's."""

    HONOURED = "honoured"
    HARMLESS = "harmless"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class CeleryKey:
    """One setting: what it is here, and a sentence that says why, or what to do instead.

    `harmless_values` are the values for which a refused key is harmless: those that say what is so anyway.
    """

    name: str
    meaning: Meaning
    sentence: str
    harmless_values: tuple[object, ...] = ()

    def meaning_of(self, value: object) -> Meaning:
        """Return what the setting is with this value; lists are compared as a whole, and by their parts."""
        if self.meaning is not Meaning.REFUSED:
            return self.meaning
        parts = value if isinstance(value, list | tuple | set | frozenset) else [value]
        # By type as well, because True equals 1.
        known = [(type(harmless), harmless) for harmless in self.harmless_values]
        is_harmless = all((type(part), part) in known for part in parts)
        return Meaning.HARMLESS if known and is_harmless else Meaning.REFUSED


JSON_ONLY: Final = "a payload is JSON here: annotate the parameter with a dataclass or a pydantic model"
ONE_QUEUE: Final = "a job goes to one queue; for all workers use app.control.broadcast"
_BROKER_URL: Final = "set JOBYARD_BROKER__URL, and remove this"
_LEDGER: Final = "results are in the ledger: set JOBYARD_LEDGER__URL, and remove this"
_COMMAND_LINE: Final = "say it on the command line"
_WORKFLOWS: Final = "workflows are not there yet"

_HONOURED: Final = {
    "imports": "the modules are loaded with the tasks",
    "include": "the modules are loaded with the tasks",
    "task_always_eager": "also JOBYARD_TASKS__EAGER",
    "task_eager_propagates": "an error of an eager job is raised by the call",
    "task_default_queue": "the queue of tasks that name none",
    "task_queues": "the names of the queues; exchanges and bindings are refused",
    "task_routes": "dictionaries, globs, regular expressions and functions",
    "beat_schedule": "`jobyard beat` and `celery beat` run it",
    "task_annotations": "options and methods of tasks, by name or for all",
    "task_default_priority": "the priority of tasks that name none; 9 is first here",
    "task_soft_time_limit": "the soft limit of tasks that name none",
    "task_time_limit": "the hard limit of tasks that name none",
    "timezone": "crontabs are read in it",
    "worker_concurrency": "unless -c, JOBYARD_WORKER__THREADS or __PROCESSES says another number",
    "worker_max_tasks_per_child": "of prefork workers; a bundle of jobs counts once",
}

_REFUSED: Final = {
    "beat_cron_starting_deadline": "a schedule has no deadline: give its jobs expires_in",
    "beat_scheduler": "schedules are in the ledger's scheduler: `jobyard beat` starts it",
    "broker_connection_timeout": "set JOBYARD_BROKER__TIMEOUT",
    "broker_host": _BROKER_URL,
    "broker_login_method": "write user and password into JOBYARD_BROKER__URL",
    "broker_password": _BROKER_URL,
    "broker_port": _BROKER_URL,
    "broker_read_url": _BROKER_URL,
    "broker_transport": _BROKER_URL,
    "broker_transport_options": "visibility_timeout is JOBYARD_WORKER__LEASE, a key prefix is "
    "JOBYARD_REDIS__PREFIX, Sentinel is named in JOBYARD_BROKER__URL",
    "broker_url": _BROKER_URL,
    "broker_use_ssl": "write rediss:// or amqps:// in JOBYARD_BROKER__URL",
    "broker_user": _BROKER_URL,
    "broker_vhost": _BROKER_URL,
    "broker_write_url": _BROKER_URL,
    "cache_backend": _LEDGER,
    "database_url": _LEDGER,
    "result_backend": _LEDGER,
    "result_expires": "set JOBYARD_LEDGER__RETENTION, and remove this",
    "security_cert_store": "messages are not signed: they name jobs, and carry no payload",
    "security_certificate": "messages are not signed: they name jobs, and carry no payload",
    "security_key": "messages are not signed: they name jobs, and carry no payload",
    "security_key_password": "messages are not signed: they name jobs, and carry no payload",
    "task_default_exchange": ONE_QUEUE,
    "task_default_rate_limit": "it counts for one worker in Celery, and nothing here does",
    "task_default_routing_key": ONE_QUEUE,
    "worker_agent": "the worker's parts are Jobyard's own",
    "worker_autoscaler": f"{_COMMAND_LINE}: jobyard worker --autoscale=10,3",
    "worker_consumer": "the worker's parts are Jobyard's own",
    "worker_max_memory_per_child": "set JOBYARD_WORKER__CHILD_MEMORY_BYTES (bytes; Celery's are KiB)",
    "worker_pool": f"{_COMMAND_LINE}: jobyard worker --kind threads or prefork; async def tasks need no pool",
    "worker_prefetch_multiplier": "a worker takes what it can run: set JOBYARD_WORKER__THREADS or "
    "__PROCESSES, and remove this",
    "worker_soft_shutdown_timeout": "set JOBYARD_WORKER__GRACE",
    "worker_timer": "the worker's parts are Jobyard's own",
}

# Refused, but for the values that say what is so anyway.
_REFUSED_BUT: Final[dict[str, tuple[str, tuple[object, ...]]]] = {
    "accept_content": (JSON_ONLY, ("json", "application/json")),
    "beat_enable_remote_control": ("the scheduler takes no commands", (False,)),
    "enable_utc": ("times are UTC here", (True,)),
    "result_accept_content": (JSON_ONLY, ("json", "application/json", None)),
    "result_serializer": (JSON_ONLY, ("json",)),
    "task_acks_on_failure": ("a job that failed is tried again by autoretry_for", (True, None)),
    "task_acks_on_failure_or_timeout": ("a job that failed is tried again by autoretry_for", (True, None)),
    "task_acks_on_timeout": ("a job that was too slow is tried again by autoretry_for", (True, None)),
    "task_allow_error_cb_on_chord_header": (_WORKFLOWS, (False,)),
    "task_create_missing_queue_exchange_type": (ONE_QUEUE, ("direct", None)),
    "task_default_exchange_type": (ONE_QUEUE, ("direct",)),
    "task_inherit_parent_priority": ("give priority= at the call", (False,)),
    "task_serializer": (JSON_ONLY, ("json",)),
    "worker_direct": (ONE_QUEUE, (False, None)),
    "worker_enable_remote_control": ("workers always take commands, and Flower needs them", (True,)),
    "worker_pool_start_method": ("child processes are forked", ("fork",)),
}

_ALWAYS: Final = "it is always so here"
_NEVER_WAITS: Final = "the keeper publishes again what the broker did not take"
_STATED: Final = "states, results and errors are always kept"
_OWN_MESSAGES: Final = "messages are Jobyard's own"
_EVENTS: Final = "events are only for display"
_OWN_LOG: Final = "the log is set by JOBYARD_LOG__LEVEL and JOBYARD_LOG__FORMAT"
_DELAYS: Final = "the ledger keeps what is not due yet"
_POOL: Final = "Jobyard's worker decides it"
_NO_BACKEND: Final = "no result backend is used"
_SCHEDULES: Final = "schedules are kept elsewhere"

_HARMLESS: Final = {
    "beat_max_loop_interval": _SCHEDULES,
    "beat_remote_control_max_tick_age": _SCHEDULES,
    "beat_schedule_filename": _SCHEDULES,
    "beat_sync_every": _SCHEDULES,
    "broker_channel_error_retry": _NEVER_WAITS,
    "broker_connection_max_retries": _NEVER_WAITS,
    "broker_connection_retry": _NEVER_WAITS,
    "broker_connection_retry_on_startup": _NEVER_WAITS,
    "broker_failover_strategy": _NEVER_WAITS,
    "broker_heartbeat": _NEVER_WAITS,
    "broker_heartbeat_checkrate": _NEVER_WAITS,
    "broker_native_delayed_delivery_queue_type": _DELAYS,
    "broker_pool_acquire_timeout": _NEVER_WAITS,
    "broker_pool_limit": _NEVER_WAITS,
    "event_exchange": _EVENTS,
    "event_queue_durable": _EVENTS,
    "event_queue_exclusive": _EVENTS,
    "event_queue_expires": _EVENTS,
    "event_queue_prefix": _EVENTS,
    "event_queue_ttl": _EVENTS,
    "event_serializer": _EVENTS,
    "security_digest": _OWN_MESSAGES,
    "task_acks_late": _ALWAYS,
    "task_compression": _OWN_MESSAGES,
    "task_create_missing_queue_type": "a queue that a task names exists by that",
    "task_create_missing_queues": "a queue that a task names exists by that",
    "task_default_delivery_mode": _OWN_MESSAGES,
    "task_default_queue_type": "queues on RabbitMQ are as JOBYARD_BROKER__QUEUE_TYPE says",
    "task_ignore_result": _STATED,
    "task_protocol": _OWN_MESSAGES,
    "task_publish_retry": _NEVER_WAITS,
    "task_publish_retry_policy": _NEVER_WAITS,
    "task_queue_max_priority": "every queue has the priorities 0 to 9",
    "task_reject_on_worker_lost": _ALWAYS,
    "task_remote_tracebacks": _STATED,
    "task_repr_maxlevels": _STATED,
    "task_retry_on_worker_lost": _ALWAYS,
    "task_send_sent_event": _EVENTS,
    "task_store_eager_result": _STATED,
    "task_store_errors_even_if_ignored": _STATED,
    "task_track_started": _STATED,
    "worker_cancel_long_running_tasks_on_connection_loss": "a job survives a lost connection",
    "worker_deduplicate_successful_tasks": _ALWAYS,
    "worker_detect_quorum_queues": _DELAYS,
    "worker_disable_prefetch": _POOL,
    "worker_disable_rate_limits": "there are none",
    "worker_enable_prefetch_count_reduction": _POOL,
    "worker_enable_soft_shutdown_on_idle": _POOL,
    "worker_eta_task_limit": _DELAYS,
    "worker_hijack_root_logger": _OWN_LOG,
    "worker_log_color": _OWN_LOG,
    "worker_log_datefmt": _OWN_LOG,
    "worker_log_format": _OWN_LOG,
    "worker_lost_wait": _POOL,
    "worker_pool_putlocks": _POOL,
    "worker_pool_restarts": _POOL,
    "worker_proc_alive_timeout": _POOL,
    "worker_redirect_stdouts": _OWN_LOG,
    "worker_redirect_stdouts_level": _OWN_LOG,
    "worker_send_task_events": _EVENTS,
    "worker_state_db": "what was revoked is in the ledger",
    "worker_task_log_datefmt": _OWN_LOG,
    "worker_task_log_format": _OWN_LOG,
    "worker_timer_precision": _DELAYS,
}

# The options of result backends, and of the queues for commands: by namespace, for none of them is used.
_HARMLESS_IN_NAMESPACE: Final = {
    "arangodb": (_NO_BACKEND, "backend_settings"),
    "azureblockblob": (
        _NO_BACKEND,
        "base_path connection_timeout container_name read_timeout retry_increment_base "
        "retry_initial_backoff_sec retry_max_attempts",
    ),
    "cache": (_NO_BACKEND, "backend_options"),
    "cassandra": (
        _NO_BACKEND,
        "auth_kwargs auth_provider bundle_path entry_ttl keyspace options port read_consistency servers "
        "table write_consistency",
    ),
    "control": (
        "the queues for commands are Celery's own",
        "exchange queue_durable queue_exclusive queue_expires queue_ttl",
    ),
    "cosmosdbsql": (
        _NO_BACKEND,
        "collection_name consistency_level database_name max_retry_attempts max_retry_wait_time",
    ),
    "couchbase": (_NO_BACKEND, "backend_settings"),
    "database": (
        _NO_BACKEND,
        "create_tables_at_setup engine_callback engine_options short_lived_sessions table_names "
        "table_schemas",
    ),
    "elasticsearch": (_NO_BACKEND, "max_retries retry_on_timeout save_meta_as_text timeout"),
    "gcs": (_NO_BACKEND, "base_path bucket project ttl"),
    "mongodb": (_NO_BACKEND, "backend_settings"),
    "redis": (
        _NO_BACKEND,
        "backend_use_ssl db host max_connections password port retry_on_timeout socket_connect_timeout "
        "socket_keepalive socket_timeout username",
    ),
    "result": (
        _NO_BACKEND,
        "backend_always_retry backend_base_sleep_between_retries_ms backend_max_retries "
        "backend_max_sleep_between_retries_ms backend_transport_options cache_max chord_expires "
        "chord_join_timeout chord_retry_interval compression exchange exchange_type extended failure_expires "
        "persistent",
    ),
    "s3": (_NO_BACKEND, "access_key_id base_path bucket endpoint_url region secret_access_key"),
}


def _keys() -> Iterator[CeleryKey]:
    for name, sentence in _HONOURED.items():
        yield CeleryKey(name, Meaning.HONOURED, sentence)
    for name, sentence in _REFUSED.items():
        yield CeleryKey(name, Meaning.REFUSED, sentence)
    for name, (sentence, values) in _REFUSED_BUT.items():
        yield CeleryKey(name, Meaning.REFUSED, sentence, values)
    for name, sentence in _HARMLESS.items():
        yield CeleryKey(name, Meaning.HARMLESS, sentence)
    for namespace, (sentence, names) in _HARMLESS_IN_NAMESPACE.items():
        for name in names.split():
            yield CeleryKey(f"{namespace}_{name}", Meaning.HARMLESS, sentence)


CELERY_KEYS: Final = {key.name: key for key in sorted(_keys(), key=lambda key: key.name)}

# The upper-case names that Celery had before version 4: a prefix for each namespace, and exceptions.
_OLD_PREFIXES: Final = {
    "beat_": "CELERYBEAT_",
    "worker_": "CELERYD_",
    "task_": "CELERY_",
    "arangodb_": "CELERY_ARANGODB_",
    "cache_": "CELERY_CACHE_",
    "couchbase_": "CELERY_COUCHBASE_",
    "elasticsearch_": "CELERY_ELASTICSEARCH_",
    "event_": "CELERY_EVENT_",
    "mongodb_": "CELERY_MONGODB_",
    "redis_": "CELERY_REDIS_",
    "result_": "CELERY_RESULT_",
    "security_": "CELERY_SECURITY_",
}
_OLD_NAMES: Final = {
    "accept_content": "CELERY_ACCEPT_CONTENT",
    "database_engine_options": "CELERY_RESULT_ENGINE_OPTIONS",
    "database_short_lived_sessions": "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS",
    "database_table_names": "CELERY_RESULT_DB_TABLENAMES",
    "database_url": "CELERY_RESULT_DBURI",
    "imports": "CELERY_IMPORTS",
    "include": "CELERY_INCLUDE",
    "result_accept_content": "RESULT_ACCEPT_CONTENT",
    "result_cache_max": "CELERY_MAX_CACHED_RESULTS",
    "result_expires": "CELERY_TASK_RESULT_EXPIRES",
    "task_compression": "CELERY_MESSAGE_COMPRESSION",
    "task_eager_propagates": "CELERY_EAGER_PROPAGATES_EXCEPTIONS",
    "task_protocol": "CELERY_TASK_PROTOCOL",
    "task_publish_retry": "CELERY_TASK_PUBLISH_RETRY",
    "task_publish_retry_policy": "CELERY_TASK_PUBLISH_RETRY_POLICY",
    "task_send_sent_event": "CELERY_SEND_TASK_SENT_EVENT",
    "task_serializer": "CELERY_TASK_SERIALIZER",
    "task_soft_time_limit": "CELERYD_TASK_SOFT_TIME_LIMIT",
    "task_time_limit": "CELERYD_TASK_TIME_LIMIT",
    "timezone": "CELERY_TIMEZONE",
    "worker_direct": "CELERY_WORKER_DIRECT",
    "worker_disable_rate_limits": "CELERY_DISABLE_RATE_LIMITS",
    "worker_enable_remote_control": "CELERY_ENABLE_REMOTE_CONTROL",
    "worker_lost_wait": "CELERYD_WORKER_LOST_WAIT",
    "worker_redirect_stdouts": "CELERY_REDIRECT_STDOUTS",
    "worker_redirect_stdouts_level": "CELERY_REDIRECT_STDOUTS_LEVEL",
    "worker_send_task_events": "CELERY_SEND_EVENTS",
}


def old_name(name: str) -> str:
    """Return the upper-case name that Celery 3 had for a key, which later versions still take."""
    if name in _OLD_NAMES:
        return _OLD_NAMES[name]
    for prefix, old_prefix in _OLD_PREFIXES.items():
        if name.startswith(prefix):
            return f"{old_prefix}{name.removeprefix(prefix).upper()}"
    return name.upper()


_BY_OLD_NAME: Final = {old_name(name): key for name, key in CELERY_KEYS.items()}


def celery_key(name: str, namespace: str = "") -> CeleryKey | None:
    """Return the key that Celery reads from `name`; None where it knows none.

    With a `namespace` (Django's `CELERY`) it is the upper-case key behind that prefix; without one the
    lower-case key, or the upper-case name of Celery 3.
    """
    if namespace and name.startswith(f"{namespace}_"):
        rest = name.removeprefix(f"{namespace}_").lower()
        return CELERY_KEYS.get(rest) or _BY_OLD_NAME.get(name)
    return CELERY_KEYS.get(name) or _BY_OLD_NAME.get(name)

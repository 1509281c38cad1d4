"""What becomes of the options of tasks and of calls: those that cannot be kept, with the way out."""

from typing import Final

from jobyard.celery_check.celery_names import WORKFLOWS, Refusal
from jobyard.settings.celery_keys import JSON_ONLY, ONE_QUEUE

RATE_LIMIT: Final = (
    "it counts for one worker in Celery; throttle=, which counts for all of them, waits for flow control"
)
PRIORITY: Final = (
    "9 is first here, as on RabbitMQ, while Celery on Redis serves 0 first: "
    "say JOBYARD_CELERY__PRIORITY=high_first or redis"
)
_BACKEND: Final = "results are in the ledger"
_TAKES_IT: Final = "it has no equivalent"

# The options of @shared_task, @app.task and the attributes of base classes.
TASK_REFUSED: Final = {
    "rate_limit": Refusal(RATE_LIMIT),
    "exchange": Refusal(ONE_QUEUE, by_hand=True, edit='queue="..."'),
    "routing_key": Refusal(ONE_QUEUE, by_hand=True, edit='queue="..."'),
    "delivery_mode": Refusal(_TAKES_IT, by_hand=True, edit="remove it"),
    "mandatory": Refusal(_TAKES_IT, by_hand=True, edit="remove it"),
    "priority": Refusal(PRIORITY, by_hand=True, edit="JOBYARD_CELERY__PRIORITY=high_first"),
    "backend": Refusal(_BACKEND, by_hand=True, edit="remove it"),
    "Strategy": Refusal("the worker's parts are Jobyard's own"),
    "Request": Refusal("the worker's parts are Jobyard's own"),
}
TASK_KEPT: Final = frozenset(
    (
        *("name", "bind", "base", "queue", "priority", "time_limit", "soft_time_limit", "max_age", "aliases"),
        *("max_retries", "default_retry_delay", "autoretry_for", "dont_autoretry_for", "retry_kwargs"),
        *("retry_backoff", "retry_backoff_max", "retry_jitter", "max_losses"),
        *("acks_late", "acks_on_failure_or_timeout", "acks_on_failure", "acks_on_timeout"),
        *("reject_on_worker_lost", "ignore_result", "store_errors_even_if_ignored", "track_started"),
        *("send_events", "trail", "typing", "throws", "serializer", "compression", "resultrepr_maxsize"),
        *("pydantic", "pydantic_strict", "pydantic_context", "pydantic_dump_kwargs", "shared", "lazy"),
    )
)

# The options of apply_async, send_task, signature and retry.
CALL_REFUSED: Final = {
    **dict.fromkeys(
        ("link", "link_error", "chain", "chord", "group_id", "group_index"),
        Refusal(WORKFLOWS),
    ),
    **dict.fromkeys(
        ("stamps", "stamped_headers"),
        Refusal("stamping has no equivalent", by_hand=True, edit="headers={...} or tags=(...)"),
    ),
    **dict.fromkeys(
        ("exchange", "exchange_type", "routing_key"),
        Refusal(ONE_QUEUE, by_hand=True, edit='queue="..."'),
    ),
    "reply_to": Refusal("results are in the ledger", by_hand=True, edit="remove it"),
    "priority": Refusal(PRIORITY, by_hand=True, edit="JOBYARD_CELERY__PRIORITY=high_first"),
}
RETRY_REFUSED: Final = {
    **CALL_REFUSED,
    **dict.fromkeys(
        ("args", "kwargs"),
        Refusal(
            "a retry runs with the arguments that the job was accepted with: hand in another job, or "
            "keep what was done with raise RetryLater(None, ..., progress=...)",
            by_hand=True,
        ),
    ),
    "queue": Refusal("a retry waits in the job's own queue", by_hand=True, edit="remove it"),
    "headers": Refusal("a retry has the job's own headers", by_hand=True, edit="remove it"),
}

# The arguments of Celery(...).
APP_REFUSED: Final = {
    "broker": Refusal("the broker is a setting", by_hand=True, edit="JOBYARD_BROKER__URL={value}"),
    "broker_url": Refusal("the broker is a setting", by_hand=True, edit="JOBYARD_BROKER__URL={value}"),
    "backend": Refusal("results are in the ledger, JOBYARD_LEDGER__URL", by_hand=True, edit="remove it"),
    "result_backend": Refusal(
        "results are in the ledger, JOBYARD_LEDGER__URL", by_hand=True, edit="remove it"
    ),
    **dict.fromkeys(
        ("amqp", "events", "loader", "log", "control", "tasks", "fixups"),
        Refusal("this part is Jobyard's own", by_hand=True, edit="remove it"),
    ),
}

# Members of the application that cannot be kept: by the dotted end of a call or an attribute.
APP_MEMBERS_REFUSED: Final = {
    "control.rate_limit": Refusal("limits stand at the task, not in workers", by_hand=True),
    "control.time_limit": Refusal("limits stand at the task: time_limit=, soft_time_limit=", by_hand=True),
    "control.purge": Refusal(
        "jobs are in the ledger: cancel them by id", by_hand=True, edit="POST /v1/jobs/{id}/cancel"
    ),
    "control.discard_all": Refusal(
        "jobs are in the ledger: cancel them by id", by_hand=True, edit="POST /v1/jobs/{id}/cancel"
    ),
    "Worker": Refusal("the command starts it", by_hand=True, edit="jobyard worker"),
    "Beat": Refusal("the command starts it", by_hand=True, edit="jobyard beat"),
    "amqp": Refusal("messages are Jobyard's own"),
    "backend": Refusal("results are in the ledger: AsyncResult reads them", by_hand=True),
    "connection": Refusal("the connection to the broker is Jobyard's own", by_hand=True),
    "connection_or_acquire": Refusal("the connection to the broker is Jobyard's own", by_hand=True),
    "connection_for_read": Refusal("the connection to the broker is Jobyard's own", by_hand=True),
    "connection_for_write": Refusal("the connection to the broker is Jobyard's own", by_hand=True),
    "broker_connection": Refusal("the connection to the broker is Jobyard's own", by_hand=True),
    "producer_or_acquire": Refusal("the message is the publisher's", by_hand=True),
    "producer_pool": Refusal("the message is the publisher's", by_hand=True),
    "pool": Refusal("the connection to the broker is Jobyard's own", by_hand=True),
    "loader": Refusal("tasks are found by JOBYARD_TASKS__MODULES and autodiscover_tasks", by_hand=True),
    "steps": Refusal("steps of one's own have no place in Jobyard's worker"),
    "user_options": Refusal(
        "options of one's own have no place: use a section of the settings", by_hand=True
    ),
    "signature": Refusal(WORKFLOWS),
    "GroupResult": Refusal(WORKFLOWS),
    "ResultSet": Refusal(WORKFLOWS),
    "setup_security": Refusal("messages are not signed: they name jobs, and carry no payload"),
    "canvas": Refusal(WORKFLOWS),
}

# Members of `self` in a bound task, and of a task.
REQUEST_KEPT: Final = frozenset(
    (
        *("id", "retries", "args", "kwargs", "root_id", "parent_id", "headers", "delivery_info", "eta"),
        *("expires", "hostname", "task", "is_eager", "called_directly", "timelimit", "get", "shadow", "utc"),
        *("ignore_result", "origin", "properties", "logfile", "loglevel", "children", "update", "clear"),
    )
)
REQUEST_EMPTY: Final = frozenset(
    (
        *("callbacks", "errbacks", "chain", "chord", "group", "group_index", "stamps", "stamped_headers"),
        *("reply_to", "correlation_id", "replaced_task_nesting", "taskset"),
    )
)
TASK_MEMBERS_REFUSED: Final = {
    "replace": Refusal(WORKFLOWS),
    "add_to_chord": Refusal("it has no equivalent: use group(...)"),
    "add_trail": Refusal("it has no equivalent: parent and children are in the ledger"),
    "chunks": Refusal(
        "many at once are one call", by_hand=True, edit="task.submit_many([task.payload(...), ...])"
    ),
    "map": Refusal(
        "many at once are one call", by_hand=True, edit="task.submit_many([task.payload(...), ...])"
    ),
    "starmap": Refusal(
        "many at once are one call", by_hand=True, edit="task.submit_many([task.payload(...), ...])"
    ),
    "s": Refusal(WORKFLOWS),
    "si": Refusal(WORKFLOWS),
    "signature": Refusal(WORKFLOWS),
    "subtask": Refusal(WORKFLOWS),
    "subtask_from_request": Refusal(WORKFLOWS),
    "signature_from_request": Refusal(WORKFLOWS),
    "backend": Refusal("results are in the ledger: AsyncResult(id)", by_hand=True),
    "send_event": Refusal("own events have no place: self.update_state(...)", by_hand=True),
    "rate_limit": Refusal(RATE_LIMIT),
    "start_strategy": Refusal("the worker's parts are Jobyard's own"),
}

SERIALIZER: Final = JSON_ONLY

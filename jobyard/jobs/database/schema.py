"""The ledger's tables. `jobyard/jobs/migrations/` brings a database to this schema."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TextClause,
    and_,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from jobyard.jobs.clock import UtcDateTime
from jobyard.jobs.job import FINAL, WAITING, Status

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

# Text on SQLite: it sorts as the UUID does, and a person can read it in the file.
Id = String(36).with_variant(UUID(as_uuid=False), "postgresql")


def _status_in(*statuses: Status) -> str:
    return "status IN ({})".format(", ".join(f"'{status}'" for status in sorted(statuses)))


def status_is(*statuses: Status) -> TextClause:
    """Return the condition that a job has one of these statuses, in the words of the partial indexes.

    Both databases use a partial index only if the query states its condition with literals; a bound parameter
    hides the condition from the planner.
    """
    return text(_status_in(*statuses))


# The statuses in the indexes by status. Every job passes through the other two on its way to success, and
# each of these moves would delete one index entry and insert another.
NOT_IN_FLIGHT: Final = frozenset(Status) - {Status.QUEUED, Status.RUNNING}


def has_status(status: Status) -> ColumnElement[bool]:
    """Return the condition that a job has this status, in the words of the index that lists these jobs."""
    if status in NOT_IN_FLIGHT:
        return and_(text(f"status = '{status}'"), status_is(*NOT_IN_FLIGHT))
    return and_(status_is(status))


job = Table(
    "job",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task", String(200), nullable=False),
    Column("queue", String(100), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("status", String(10), nullable=False),
    Column("payload", Text, nullable=False),
    Column("result", Text),
    Column("failure_cause", String(20)),
    Column("failure_type", String(200)),
    Column("failure_message", Text),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False),
    Column("lost", Integer, nullable=False, server_default="0"),
    Column("replays", Integer, nullable=False, server_default="0"),
    Column("worker", String(200)),
    Column("lease_until", UtcDateTime),
    Column("run_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("published_at", UtcDateTime),
    Column("publish_count", Integer, nullable=False, server_default="0"),
    # When the keeper may publish the job (again), if no worker has claimed it by then.
    Column("resend_at", UtcDateTime, nullable=False),
    # Since when each worker that fetched the job did not know its task, or could not read its payload.
    Column("unknown_since", UtcDateTime),
    Column("idempotency_key", String(255)),
    Column("request_hash", String(64)),
    Column("unique_key", String(255)),
    Column("parent", Id),  # the job that submitted this one
    Column("external_id", String(255)),  # the caller's own id
    Column("headers", Text),  # JSON: the caller's, for the task
    # In seconds, where the job has limits of its own.
    Column("time_limit", Float),
    Column("soft_time_limit", Float),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
)


def _partial(name: str, *columns: str | ColumnElement[Any], where: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(
        name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition, _table=job
    )


# The columns that the message of a waiting job needs.
QUEUED_JOB = (job.c.id, job.c.task, job.c.queue, job.c.priority, job.c.lost, job.c.time_limit)


_partial("ux_job_idempotency_key", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True)
_partial("ux_job_external_id", "external_id", where="external_id IS NOT NULL", unique=True)
_partial(
    "ux_job_unique_key",
    "task",
    "unique_key",
    where=f"unique_key IS NOT NULL AND {_status_in(*WAITING, Status.RUNNING)}",
    unique=True,
)
# One index for each duty of the keeper, over the few rows that concern the duty.
_partial("ix_job_due", "run_at", where=_status_in(Status.SCHEDULED, Status.RETRYING))
# A queued job is in one of the next two, and moves from the first to the second when it is published.
_partial("ix_job_unsent", "resend_at", where=f"{_status_in(Status.QUEUED)} AND published_at IS NULL")
_partial(
    "ix_job_published",
    "queue",
    job.c.priority.desc(),
    "published_at",
    where=f"{_status_in(Status.QUEUED)} AND published_at IS NOT NULL",
)
_partial("ix_job_running", "lease_until", where=_status_in(Status.RUNNING))
_partial("ix_job_expiring", "expires_at", where=f"expires_at IS NOT NULL AND {_status_in(*WAITING)}")
_partial("ix_job_finished", "finished_at", where=_status_in(*FINAL))
# For lists, newest first: ids sort by time. Running jobs have no index by id: they are few enough to be
# sorted.
_partial("ix_job_queued_id", "id", where=_status_in(Status.QUEUED))
_partial("ix_job_resting_status_id", "status", "id", where=_status_in(*NOT_IN_FLIGHT))
_partial("ix_job_resting_task_status_id", "task", "status", "id", where=_status_in(*NOT_IN_FLIGHT))
IS_FAILED = "failure_cause IS NOT NULL"
_partial("ix_job_failed", "id", where=IS_FAILED)
_partial("ix_job_parent_id", "parent", "id", where="parent IS NOT NULL")

tag = Table(
    "tag",
    metadata,
    Column("tag", String(100), primary_key=True),
    Column("job_id", Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_tag_job_id", "job_id"),
)

# The ids of deleted jobs, so that a request for one can be answered with when it was deleted.
pruned = Table(
    "pruned",
    metadata,
    Column("id", Id, primary_key=True),
    Column("pruned_at", UtcDateTime, nullable=False),
    Index("ix_pruned_pruned_at", "pruned_at"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("job_id", Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("cause", String(20), nullable=False),
    Column("type", String(200), nullable=False),
    Column("module", String(200)),  # where the exception's class was defined
    Column("message", Text, nullable=False),
    Column("traceback", Text),
    Column("worker", String(200)),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("progress", Text),  # JSON: what the attempt had done, for the next one
)

# What the newest attempt that called `update_state` has said of itself.
reported_state = Table(
    "reported_state",
    metadata,
    Column("job_id", Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("state", String(64)),
    Column("meta", Text, nullable=False),  # JSON
    Column("reported_at", UtcDateTime, nullable=False),
)

file = Table(
    "file",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# What persons have done to jobs: cancels, replays and discards. Rows from before 0009 have no actor.
intervention = Table(
    "intervention",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("actor", Text),
    Column("reason", Text),
    Column("difference", Text),  # JSON: what an edit changed in the payload
    Column("at", UtcDateTime, nullable=False),
    Index("ix_intervention_job_id", "job_id"),
)

# The orders to replay many dead jobs, which the keeper carries out step by step.
replay = Table(
    "replay",
    metadata,
    Column("id", Id, primary_key=True),
    Column("status", String(10), nullable=False),
    Column("is_canary", Boolean, nullable=False),
    Column("stage", Integer, nullable=False, server_default="0"),
    Column("actor", Text),
    Column("reason", Text),
    Column("stopped_by", Text),
    Column("stop_reason", Text),
    Column("total", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("released_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("ix_replay_status", "status"),
)

# The jobs of each replay order, with the stage in which each is released. There is no foreign key to the job,
# because an order answers for unknown and pruned jobs as well.
replay_item = Table(
    "replay_item",
    metadata,
    Column("replay_id", Id, ForeignKey("replay.id", ondelete="CASCADE"), primary_key=True),
    Column("job_id", Id, primary_key=True),
    Column("stage", Integer, nullable=False),
    Column("released", Boolean, nullable=False, server_default=false()),
    Column("refused", Text),
)

# The tasks that workers and the API have declared: a row for each name of a task.
declared_task = Table(
    "declared_task",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("task", String(200), nullable=False),
    Column("queue", String(100), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("max_losses", Integer),  # null: the keeper's settings decide
)

# The queues that workers, the API and programs have declared.
declared_queue = Table(
    "declared_queue",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

# The mean run time of a job of each task, measured by the workers.
run_time = Table(
    "pace",
    metadata,
    Column("task", String(200), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("measured_at", UtcDateTime, nullable=False),
)

# The counters of faults.
fault = Table(
    "tally",
    metadata,
    Column("what", String(50), primary_key=True),
    Column("times", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("pool", String(50), nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("queues", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

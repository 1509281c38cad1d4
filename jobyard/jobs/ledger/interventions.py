"""What persons did to jobs: recorded in the transaction that does it, and read for the job's history."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import intervention as intervention_table
from jobyard.jobs.job import Intervention, InterventionKind, new_id


def record_interventions(
    connection: Connection,
    job_ids: Sequence[str],
    kind: InterventionKind,
    actor: str | None,
    reason: str | None,
    changes: list[dict[str, Any]] | None = None,
) -> None:
    """Record that an actor did the same to each of these jobs; `changes` are those of their payload."""
    if not job_ids:
        return
    shared = {
        "kind": kind,
        "actor": actor,
        "reason": reason,
        "difference": json.dumps(changes) if changes is not None else None,
    }
    statement = insert(intervention_table).values(
        shared | {"at": db_now(), "id": bindparam("its_id"), "job_id": bindparam("of")}
    )
    connection.execute(statement, [{"its_id": new_id(), "of": job_id} for job_id in job_ids])


def interventions(database: LedgerDatabase, job_id: str) -> list[Intervention]:
    """Return what persons have done to a job, oldest first."""
    statement = (
        select(intervention_table)
        .where(intervention_table.c.job_id == job_id)
        .order_by(intervention_table.c.at, intervention_table.c.id)
    )
    with database.reading() as connection:
        return [
            Intervention(
                InterventionKind(row.kind),
                row.at,
                row.actor,
                row.reason,
                json.loads(row.difference) if row.difference is not None else None,
            )
            for row in connection.execute(statement)
        ]

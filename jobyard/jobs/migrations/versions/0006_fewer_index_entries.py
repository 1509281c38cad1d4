"""Fewer index entries for each move of a job, from indexes that are made while the yard runs

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_QUEUED = "status IN ('queued')"
_RESTING = "status IN ('cancelled', 'dead', 'expired', 'retrying', 'scheduled', 'succeeded')"

_BEFORE: dict[str, tuple[list[str], str | None]] = {
    "ix_job_queued": (["queue", "priority", "published_at"], _QUEUED),
    "ix_job_status_id": (["status", "id"], None),
    "ix_job_task_status_id": (["task", "status", "id"], None),
}
_AFTER: dict[str, tuple[list[str], str | None]] = {
    "ix_job_published": (
        ["queue", "priority DESC", "published_at"],
        f"{_QUEUED} AND published_at IS NOT NULL",
    ),
    "ix_job_queued_id": (["id"], _QUEUED),
    "ix_job_resting_status_id": (["status", "id"], _RESTING),
    "ix_job_resting_task_status_id": (["task", "status", "id"], _RESTING),
}


def upgrade() -> None:
    _exchange(_BEFORE, _AFTER)


def downgrade() -> None:
    _exchange(_AFTER, _BEFORE)


def _exchange(
    old: dict[str, tuple[list[str], str | None]], new: dict[str, tuple[list[str], str | None]]
) -> None:
    # The new ones have names of their own, so that there is no moment without either.
    with op.get_context().autocommit_block():
        if op.get_bind().dialect.name == "postgresql":
            op.execute("SET lock_timeout = 0")  # it waits for who is there, and nobody waits for it
        for name, (columns, where) in new.items():
            _index(name, columns, sa.text(where) if where else None)
        for name in old:
            op.drop_index(name, "job", postgresql_concurrently=True, if_exists=True)


def _index(name: str, columns: list[str], where: sa.TextClause | None) -> None:
    # One that was begun and not ended is there and not used, so it is made anew.
    op.drop_index(name, "job", postgresql_concurrently=True, if_exists=True)
    op.create_index(
        name,
        "job",
        [sa.text(column) for column in columns],
        postgresql_concurrently=True,
        postgresql_where=where,
        sqlite_where=where,
    )

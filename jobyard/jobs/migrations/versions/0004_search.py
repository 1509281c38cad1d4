"""Search: indexes that give jobs in the order of their ids, made while the yard runs

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FAILED = sa.text("failure_cause IS NOT NULL")
_A_CHILD = sa.text("parent IS NOT NULL")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        if op.get_bind().dialect.name == "postgresql":
            op.execute("SET lock_timeout = 0")  # it waits for who is there, and nobody waits for it
        _index("ix_job_task_status_id", ["task", "status", "id"])
        _index("ix_job_failed", ["id"], where=_FAILED)
        _index("ix_job_parent_id", ["parent", "id"], where=_A_CHILD)
        op.drop_index("ix_job_task_id", "job", postgresql_concurrently=True, if_exists=True)


def _index(name: str, columns: list[str], where: sa.TextClause | None = None) -> None:
    # One that was begun and not ended is there and not used, so it is made anew.
    op.drop_index(name, "job", postgresql_concurrently=True, if_exists=True)
    op.create_index(
        name, "job", columns, postgresql_concurrently=True, postgresql_where=where, sqlite_where=where
    )


def downgrade() -> None:
    op.create_index("ix_job_task_id", "job", ["task", "id"])
    for name in ("ix_job_task_status_id", "ix_job_failed", "ix_job_parent_id"):
        op.drop_index(name, "job")

"""Actors: who cancelled, discarded, replayed and stopped; and no declared housekeeping

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("intervention", "actor"),
    ("replay", "actor"),
    ("replay", "stopped_by"),
    ("replay", "stop_reason"),
)


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.Text()))
    # Callers may no longer hand these in; an application's own task of such a name declares itself again.
    op.execute(sa.text("DELETE FROM declared_task WHERE task LIKE 'upkeep.%'"))


def downgrade() -> None:
    for table, column in _COLUMNS:
        op.drop_column(table, column)

"""Reported states: what a running attempt says of itself with `update_state`

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

from jobyard.jobs.clock import UtcDateTime
from jobyard.jobs.database.schema import Id

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reported_state",
        sa.Column("job_id", Id, sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(64)),
        sa.Column("meta", sa.Text(), nullable=False),
        sa.Column("reported_at", UtcDateTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("reported_state")

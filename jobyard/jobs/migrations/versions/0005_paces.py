"""How long a job of each task takes: by it jobs are sent in bundles

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from jobyard.jobs.clock import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pace",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_pace"),
    )


def downgrade() -> None:
    op.drop_table("pace")

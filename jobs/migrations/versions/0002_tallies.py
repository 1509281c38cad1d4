"""Tallies

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from jobs.clock import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tally",
        sa.Column("what", sa.String(length=50), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_tally")),
    )


def downgrade() -> None:
    op.drop_table("tally")

"""Dead letters: what persons did to them, orders to replay many; and tallies

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from jobyard.jobs.clock import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.add_column("job", sa.Column("unknown_since", UtcDateTime(), nullable=True))
    op.create_table(
        "tally",
        sa.Column("what", sa.String(length=50), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_tally")),
    )
    op.create_table(
        "intervention",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("difference", sa.Text(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intervention")),
    )
    op.create_index("ix_intervention_job_id", "intervention", ["job_id"])
    op.create_table(
        "replay",
        sa.Column("id", _ID, nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("is_canary", sa.Boolean(), nullable=False),
        sa.Column("stage", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("released_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replay")),
    )
    op.create_index("ix_replay_status", "replay", ["status"])
    op.create_table(
        "replay_item",
        sa.Column("replay_id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("released", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["replay_id"], ["replay.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("replay_id", "job_id", name=op.f("pk_replay_item")),
    )


def downgrade() -> None:
    for table in ("replay_item", "replay", "intervention", "tally"):
        op.drop_table(table)
    op.drop_column("job", "unknown_since")

"""The first ledger

Revision ID: 0001
Revises: (nothing)
"""

import sqlalchemy as sa
from alembic import op

from jobyard.jobs.clock import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "file",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=200), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file")),
    )
    op.create_table(
        "job",
        sa.Column("id", _ID, nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("failure_cause", sa.String(length=20), nullable=True),
        sa.Column("failure_type", sa.String(length=200), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), server_default="0", nullable=False),
        sa.Column("replays", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("run_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("publish_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resend_at", UtcDateTime(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_hash", sa.String(length=64), nullable=True),
        sa.Column("unique_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(
            "ix_job_due",
            ["run_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('retrying', 'scheduled')"),
            postgresql_where=sa.text("status IN ('retrying', 'scheduled')"),
        )
        batch_op.create_index(
            "ix_job_expiring",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("expires_at IS NOT NULL AND status IN ('queued', 'retrying', 'scheduled')"),
            postgresql_where=sa.text(
                "expires_at IS NOT NULL AND status IN ('queued', 'retrying', 'scheduled')"
            ),
        )
        batch_op.create_index(
            "ix_job_finished",
            ["finished_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('cancelled', 'dead', 'expired', 'succeeded')"),
            postgresql_where=sa.text("status IN ('cancelled', 'dead', 'expired', 'succeeded')"),
        )
        batch_op.create_index(
            "ix_job_queued",
            ["queue", "priority", "published_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('queued')"),
            postgresql_where=sa.text("status IN ('queued')"),
        )
        batch_op.create_index(
            "ix_job_running",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("status IN ('running')"),
            postgresql_where=sa.text("status IN ('running')"),
        )
        batch_op.create_index("ix_job_status_id", ["status", "id"], unique=False)
        batch_op.create_index("ix_job_task_id", ["task", "id"], unique=False)
        batch_op.create_index(
            "ix_job_unsent",
            ["resend_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('queued') AND published_at IS NULL"),
            postgresql_where=sa.text("status IN ('queued') AND published_at IS NULL"),
        )
        batch_op.create_index(
            "ux_job_idempotency_key",
            ["idempotency_key"],
            unique=True,
            sqlite_where=sa.text("idempotency_key IS NOT NULL"),
            postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        )
        batch_op.create_index(
            "ux_job_unique_key",
            ["task", "unique_key"],
            unique=True,
            sqlite_where=sa.text(
                "unique_key IS NOT NULL AND status IN ('queued', 'retrying', 'running', 'scheduled')"
            ),
            postgresql_where=sa.text(
                "unique_key IS NOT NULL AND status IN ('queued', 'retrying', 'running', 'scheduled')"
            ),
        )

    op.create_table(
        "worker",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(length=50), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
    )
    op.create_table(
        "attempt",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_attempt")),
    )
    op.create_table(
        "tag",
        sa.Column("tag", sa.String(length=100), nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tag", "job_id", name=op.f("pk_tag")),
    )
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.create_index("ix_tag_job_id", ["job_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.drop_index("ix_tag_job_id")

    op.drop_table("tag")
    op.drop_table("attempt")
    op.drop_table("worker")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(
            "ux_job_unique_key",
            sqlite_where=sa.text(
                "unique_key IS NOT NULL AND status IN ('queued', 'retrying', 'running', 'scheduled')"
            ),
            postgresql_where=sa.text(
                "unique_key IS NOT NULL AND status IN ('queued', 'retrying', 'running', 'scheduled')"
            ),
        )
        batch_op.drop_index(
            "ux_job_idempotency_key",
            sqlite_where=sa.text("idempotency_key IS NOT NULL"),
            postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_job_unsent",
            sqlite_where=sa.text("status IN ('queued') AND published_at IS NULL"),
            postgresql_where=sa.text("status IN ('queued') AND published_at IS NULL"),
        )
        batch_op.drop_index("ix_job_task_id")
        batch_op.drop_index("ix_job_status_id")
        batch_op.drop_index(
            "ix_job_running",
            sqlite_where=sa.text("status IN ('running')"),
            postgresql_where=sa.text("status IN ('running')"),
        )
        batch_op.drop_index(
            "ix_job_queued",
            sqlite_where=sa.text("status IN ('queued')"),
            postgresql_where=sa.text("status IN ('queued')"),
        )
        batch_op.drop_index(
            "ix_job_finished",
            sqlite_where=sa.text("status IN ('cancelled', 'dead', 'expired', 'succeeded')"),
            postgresql_where=sa.text("status IN ('cancelled', 'dead', 'expired', 'succeeded')"),
        )
        batch_op.drop_index(
            "ix_job_expiring",
            sqlite_where=sa.text("expires_at IS NOT NULL AND status IN ('queued', 'retrying', 'scheduled')"),
            postgresql_where=sa.text(
                "expires_at IS NOT NULL AND status IN ('queued', 'retrying', 'scheduled')"
            ),
        )
        batch_op.drop_index(
            "ix_job_due",
            sqlite_where=sa.text("status IN ('retrying', 'scheduled')"),
            postgresql_where=sa.text("status IN ('retrying', 'scheduled')"),
        )

    op.drop_table("job")
    op.drop_table("file")

"""Progress: what a failed attempt had done, for the next one

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("progress", sa.Text()))


def downgrade() -> None:
    op.drop_column("attempt", "progress")

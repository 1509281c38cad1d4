"""How many workers a job of a task may lose before it is dead, where its task says so

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("declared_task", sa.Column("max_losses", sa.Integer()))


def downgrade() -> None:
    op.drop_column("declared_task", "max_losses")

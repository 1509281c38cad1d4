"""Alembic's entry: runs the migrations on the connection of `jobyard/jobs/database/migrate.py`."""

from alembic import context

from jobyard.jobs.database.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

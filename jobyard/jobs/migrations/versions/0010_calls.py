"""What a call carries: the caller's own id, headers and limits, and the module of an attempt's exception

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("job", "external_id", sa.String(length=255)),
    ("job", "headers", sa.Text()),
    ("job", "time_limit", sa.Float()),
    ("job", "soft_time_limit", sa.Float()),
    ("attempt", "module", sa.String(length=200)),
)
_INDEX = "ux_job_external_id"
_HAS_EXTERNAL_ID = sa.text("external_id IS NOT NULL")

# A function of its own, because processes of the version before go on calling `jobyard.accept`.
_ACCEPT_CALL = """
CREATE OR REPLACE FUNCTION jobyard.accept_call(
    task text,
    payload json,
    queue text,
    priority integer,
    max_attempts integer,
    delay interval,
    run_at timestamptz,
    expires_in interval,
    unique_key text,
    idempotency_key text,
    request_hash text,
    tags text[],
    parent text,
    external_id text,
    headers text,
    time_limit double precision,
    soft_time_limit double precision,
    OUT job_id uuid,
    OUT verdict text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = jobyard, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    FOR tries IN 1..3 LOOP
        SELECT job.id INTO job_id FROM job WHERE job.external_id = accept_call.external_id;
        IF FOUND THEN
            verdict := 'repeated';
            RETURN;
        END IF;
        BEGIN
            SELECT accepted.job_id, accepted.verdict INTO job_id, verdict FROM accept(
                task, payload, queue, priority, max_attempts, delay, run_at, expires_in, unique_key,
                idempotency_key, request_hash, tags, parent) AS accepted;
            IF verdict = 'new' THEN
                UPDATE job SET external_id = accept_call.external_id, headers = accept_call.headers,
                               time_limit = accept_call.time_limit,
                               soft_time_limit = accept_call.soft_time_limit
                    WHERE job.id = job_id;
            END IF;
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            -- Another transaction has committed a job with this external id meanwhile: it is found next.
        END;
    END LOOP;
    RAISE EXCEPTION 'jobs with the external id of this one come and go too fast: try again'
        USING ERRCODE = 'serialization_failure';
END $$
"""


def upgrade() -> None:
    # An earlier try may have ended while it built the index, which is not undone with it.
    tables = {table for table, _, _ in _COLUMNS}
    inspector = sa.inspect(op.get_bind())
    present = {(table, column["name"]) for table in tables for column in inspector.get_columns(table)}
    for table, name, type_ in _COLUMNS:
        if (table, name) not in present:
            op.add_column(table, sa.Column(name, type_))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute(sa.text(_ACCEPT_CALL.replace(":", r"\:")))  # these colons name no parameters
    with op.get_context().autocommit_block():
        lock_timeout = ""
        if is_postgresql:
            lock_timeout = op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar_one()
            op.execute("SET lock_timeout = 0")  # it waits for other transactions, and none waits for it
        # One that was begun and not ended is there and not used, so it is made anew.
        op.drop_index(_INDEX, "job", postgresql_concurrently=True, if_exists=True)
        op.create_index(
            _INDEX,
            "job",
            ["external_id"],
            unique=True,
            postgresql_concurrently=True,
            postgresql_where=_HAS_EXTERNAL_ID,
            sqlite_where=_HAS_EXTERNAL_ID,
        )
        if is_postgresql:
            op.execute(f"SET lock_timeout = '{lock_timeout}'")


def downgrade() -> None:
    op.drop_index(_INDEX, "job")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION jobyard.accept_call")
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)

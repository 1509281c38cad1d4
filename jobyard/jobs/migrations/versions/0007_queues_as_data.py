"""Queues as data: those that processes have declared, with what they are for and what serves them

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from jobyard.jobs.clock import UtcDateTime, db_now

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SUBMIT = """
CREATE OR REPLACE FUNCTION jobyard.submit(
    task text,
    payload json,
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamptz DEFAULT NULL,
    expires_in interval DEFAULT NULL,
    unique_key text DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    tags text[] DEFAULT '{}',
    OUT job_id uuid,
    OUT verdict text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = jobyard, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    declared declared_task%ROWTYPE;
    wrong text;
    request_hash text;
BEGIN
    SELECT * INTO declared FROM declared_task WHERE declared_task.name = submit.task;
    wrong := CASE
        WHEN declared.name IS NULL THEN format('there is no task %L; the tasks are: %s', task,
            (SELECT string_agg(name, ', ' ORDER BY name) FROM declared_task))
        WHEN payload IS NULL OR json_typeof(payload) <> 'object' THEN 'payload must be a JSON object'
{queue_check}
        WHEN priority NOT BETWEEN 0 AND 9 THEN format('priority is %s, and goes from 0 to 9', priority)
        WHEN max_attempts NOT BETWEEN 1 AND 100
            THEN format('max_attempts is %s, and goes from 1 to 100', max_attempts)
        WHEN delay IS NOT NULL AND run_at IS NOT NULL
            THEN 'delay and run_at both say when to start: give one of them'
        WHEN delay < interval '0' THEN 'delay is negative'
        WHEN greatest(delay, expires_in, run_at - now()) > interval '366 days'
            THEN 'delay, run_at and expires_in may be 366 days away'
        WHEN expires_in <= greatest(delay, run_at - now(), interval '0')
            THEN 'expires_in ends before the job may start'
        WHEN unique_key !~ '^[!-~]{1,255}$' THEN 'unique_key must be 1 to 255 visible ASCII characters'
        WHEN idempotency_key !~ '^[!-~]{1,255}$'
            THEN 'idempotency_key must be 1 to 255 visible ASCII characters'
        WHEN cardinality(tags) > 20 OR EXISTS (
            SELECT FROM unnest(tags) AS word WHERE word IS NULL OR word !~ '^[^[:cntrl:],]{1,100}$')
            THEN 'tags may be 20, each 1 to 100 characters without commas'
    END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    request_hash := encode(sha256(convert_to(
        json_build_array(declared.task, payload, queue, priority, max_attempts, delay, run_at, expires_in,
                         unique_key, tags)::text, 'UTF8')), 'hex');
    SELECT accepted.job_id, accepted.verdict INTO job_id, verdict FROM accept(
        declared.task, payload, coalesce(queue, declared.queue), coalesce(priority, declared.priority),
        coalesce(max_attempts, declared.max_attempts), delay, run_at, expires_in, unique_key,
        idempotency_key, request_hash, tags, NULL) AS accepted;
    IF verdict = 'conflict' THEN
        RAISE EXCEPTION 'the idempotency key % was used before for another task, payload or options',
            quote_literal(idempotency_key) USING ERRCODE = 'unique_violation';
    END IF;
END $$
"""

_BY_QUEUES = """\
        WHEN queue IS NOT NULL AND NOT EXISTS (SELECT FROM declared_queue d WHERE d.name = submit.queue)
            THEN format('there is no queue %L; the queues are: %s', queue,
                (SELECT string_agg(d.name, ', ' ORDER BY d.name) FROM declared_queue d))"""
_BY_TASKS = """\
        WHEN queue IS NOT NULL AND NOT EXISTS (SELECT FROM declared_task d WHERE d.queue = submit.queue)
            THEN format('there is no queue %L; the queues are: %s', queue,
                (SELECT string_agg(DISTINCT d.queue, ', ') FROM declared_task d))"""


def upgrade() -> None:
    table = op.create_table(
        "declared_queue",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_declared_queue")),
    )
    # Those that are in use already; the next API or worker that starts says what they are.
    in_use = sa.union(
        *(sa.select(sa.table(name, sa.column("queue")).c.queue) for name in ("declared_task", "job"))
    )
    rows = sa.select(in_use.subquery().c.queue, sa.literal(""), sa.literal("threads"), db_now())
    op.execute(table.insert().from_select(["name", "purpose", "kind", "seen_at"], rows))
    _replace_submit(_BY_QUEUES)


def downgrade() -> None:
    _replace_submit(_BY_TASKS)
    op.drop_table("declared_queue")


def _replace_submit(queue_check: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        function = _SUBMIT.replace("{queue_check}", queue_check)
        op.execute(sa.text(function.replace(":", r"\:")))  # these colons name no parameters

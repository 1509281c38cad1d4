"""Jobs in other people's transactions: the tasks by name, and on PostgreSQL a function that submits

Also who handed in a job, and which ones are no more.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from jobyard.jobs.clock import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")

# Both run with the rights of the ledger's owner, and so they trust no caller's search path.

# What Python calls too: the insert, with every value given and right.
ACCEPT = """
CREATE FUNCTION jobyard.accept(
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
    OUT job_id uuid,
    OUT verdict text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = jobyard, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    start timestamptz := coalesce(run_at, now() + coalesce(delay, interval '0'));
    is_same boolean;
BEGIN
    FOR tries IN 1..3 LOOP
        -- A UUIDv7 (RFC 9562): 48 bits of milliseconds, the version, and the random bits of a UUIDv4.
        job_id := encode(
            set_bit(set_bit(
                overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
                52, 1), 53, 1),
            'hex')::uuid;
        INSERT INTO job (id, task, queue, priority, status, payload, max_attempts, run_at, created_at,
                         expires_at, resend_at, unique_key, idempotency_key, request_hash, parent)
        VALUES (job_id, accept.task, accept.queue, accept.priority,
                CASE WHEN start > now() THEN 'scheduled' ELSE 'queued' END, accept.payload::text,
                accept.max_attempts, start, now(), now() + expires_in, now(), accept.unique_key,
                accept.idempotency_key, accept.request_hash, accept.parent::uuid)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO tag (tag, job_id) SELECT DISTINCT word, accept.job_id FROM unnest(tags) AS word;
            -- Heard when the transaction commits, and not at all when it is rolled back.
            PERFORM pg_notify('jobyard', '');
            verdict := 'new';
            RETURN;
        END IF;
        SELECT job.id, job.request_hash = accept.request_hash INTO job_id, is_same FROM job
            WHERE job.idempotency_key = accept.idempotency_key;
        IF FOUND THEN
            verdict := CASE WHEN is_same THEN 'repeated' ELSE 'conflict' END;
            RETURN;
        END IF;
        SELECT job.id INTO job_id FROM job
            WHERE job.task = accept.task AND job.unique_key = accept.unique_key
              AND job.status IN ('queued', 'retrying', 'running', 'scheduled');
        IF FOUND THEN
            verdict := 'duplicate';
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'jobs with the key of this one come and go too fast: try again'
        USING ERRCODE = 'serialization_failure';
END $$
"""

# For everybody else: what is left out is as the task declares it, and what cannot be is refused.
SUBMIT = """
CREATE FUNCTION jobyard.submit(
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
        WHEN queue IS NOT NULL AND NOT EXISTS (SELECT FROM declared_task d WHERE d.queue = submit.queue)
            THEN format('there is no queue %L; the queues are: %s', queue,
                (SELECT string_agg(DISTINCT d.queue, ', ') FROM declared_task d))
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


def upgrade() -> None:
    op.create_table(
        "declared_task",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_declared_task")),
    )
    op.create_table(
        "pruned",
        sa.Column("id", _ID, nullable=False),
        sa.Column("pruned_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pruned")),
    )
    op.create_index("ix_pruned_pruned_at", "pruned", ["pruned_at"])
    op.add_column("job", sa.Column("parent", _ID, nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for function in (ACCEPT, SUBMIT):
            op.execute(sa.text(function.replace(":", r"\:")))  # these colons name no parameters


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION jobyard.submit, jobyard.accept")
    op.drop_column("job", "parent")
    op.drop_table("pruned")
    op.drop_table("declared_task")

"""A ledger's past: millions of jobs that ended in the last ninety days, written by the database itself."""

from typing import Final

from sqlalchemy import Engine, text

DAYS: Final = 90
ROWS_IN_A_STATEMENT: Final = 250_000

# UUIDv7 (RFC 9562): 48 bits of milliseconds, the version, and the rest from a hash, so that nothing repeats.
_JOBS: Final = """
WITH made AS (
    SELECT n, now() - make_interval(secs => :days * 86400.0 * (:total - n) / :total) AS at,
        md5(n::text) AS hash,
        (ARRAY['email.send', 'email.send', 'image.convert', 'page.collect'])[1 + n % 4] AS task,
        CASE WHEN n % 50 = 0 THEN 'dead' WHEN n % 97 = 0 THEN 'cancelled' ELSE 'succeeded' END AS status
    FROM generate_series(CAST(:first AS bigint), :last) AS n
), jobs AS (
    INSERT INTO job (id, task, queue, priority, status, payload, result, failure_cause, failure_type,
        failure_message, attempt, failures, max_attempts, worker, run_at, published_at, publish_count,
        resend_at, parent, created_at, started_at, finished_at)
    SELECT
        CAST(lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7' || substr(hash, 1, 3)
            || '8' || substr(hash, 4, 15) AS uuid),
        task, CASE task WHEN 'email.send' THEN 'email' WHEN 'image.convert' THEN 'images' ELSE 'collect' END,
        5, status,
        '{"to":["user' || n % 100000 || '@example.org"],"subject":"The engine","text":"'
            || repeat('word ', 12) || '"}',
        CASE status WHEN 'succeeded' THEN '{"message_id":"' || hash || '"}' END,
        CASE status WHEN 'dead' THEN 'exception' END,
        CASE status WHEN 'dead' THEN (ARRAY['SMTPError', 'ReadTimeout', 'ValueError'])[1 + n % 3] END,
        CASE status WHEN 'dead' THEN 'the server said ' || n % 1000 || ' and closed the connection' END,
        1, CASE status WHEN 'dead' THEN 1 ELSE 0 END, 3, 'io@host' || n % 7 || '/' || n % 50, at, at, 1, at,
        NULL, at, at + interval '1 second', at + interval '2 seconds'
    FROM made RETURNING id, substr(CAST(id AS text), 35, 2) AS mark
)
INSERT INTO tag (tag, job_id) SELECT 'campaign-' || mark, id FROM jobs WHERE mark < '20'
"""


def write_history(engine: Engine, jobs: int) -> None:
    """Write so many ended jobs into an empty ledger on PostgreSQL; every eighth or so has a tag."""
    for first in range(1, jobs + 1, ROWS_IN_A_STATEMENT):
        last = min(jobs, first + ROWS_IN_A_STATEMENT - 1)
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.execute(text(_JOBS), {"first": first, "last": last, "total": jobs, "days": DAYS})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE job")
        connection.exec_driver_sql("VACUUM ANALYZE tag")

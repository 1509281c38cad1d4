"""Puts `jobyard.jobs.job.MOVES` into a test's database: any other move fails at once, whoever makes it."""

from sqlalchemy import Engine

from jobyard.jobs.job import MOVES

_ALLOWED = ", ".join(
    f"'{source}>{target}'" for source, targets in MOVES.items() for target in sorted(targets)
)
_IS_ALLOWED = f"(OLD.status = NEW.status OR OLD.status || '>' || NEW.status IN ({_ALLOWED}))"

_SQLITE = (
    "CREATE TRIGGER IF NOT EXISTS illegal_move BEFORE UPDATE OF status ON job "
    f"WHEN NOT {_IS_ALLOWED} BEGIN SELECT RAISE(ABORT, 'illegal move'); END",
)
_POSTGRESQL = (
    f"""
    CREATE OR REPLACE FUNCTION illegal_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT {_IS_ALLOWED} THEN
            RAISE EXCEPTION 'illegal move: % to %', OLD.status, NEW.status;
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE OR REPLACE TRIGGER illegal_move BEFORE UPDATE OF status ON job "
    "FOR EACH ROW EXECUTE FUNCTION illegal_move()",
)


def forbid_illegal_moves(engine: Engine) -> None:
    """Make the database refuse every change of a job's status that the table of moves does not know."""
    with engine.begin() as connection:
        for statement in _SQLITE if engine.dialect.name == "sqlite" else _POSTGRESQL:
            connection.exec_driver_sql(statement.replace("%", "%%"))

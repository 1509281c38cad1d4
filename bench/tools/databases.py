"""A database of one's own on a PostgreSQL server, for a benchmark or a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import create_engine, text


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Make a database for the block; its URL is the answer.

    Raises SQLAlchemy's `OperationalError` where the server cannot be reached.
    """
    name = f"jobyard_{uuid4().hex}"
    server = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()

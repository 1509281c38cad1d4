"""A database of one's own on a PostgreSQL server, for a benchmark or a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text


@contextmanager
def new_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """Make a database for the block; its URL is the answer.

    It is a copy of the one at the URL `template`, to which nothing may be connected.

    Raises SQLAlchemy's `OperationalError` where the server cannot be reached.
    """
    name = f"jobyard_{uuid4().hex}"
    server = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        source = f" TEMPLATE {make_url(template).database}" if template else ""
        connection.execute(text(f"CREATE DATABASE {name}{source}"))
    try:
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()

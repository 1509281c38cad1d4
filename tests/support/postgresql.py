"""A database of a test's own on a PostgreSQL server; skipped on a laptop without one, and an error in CI."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from bench.tools import databases

SERVER = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


@contextmanager
def new_database(template: str | None = None) -> Iterator[str]:
    """Make a database for the block, as a copy of the one at the URL `template`; its URL is the answer."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(databases.new_database(SERVER, template))
        except OperationalError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL at {make_url(SERVER).render_as_string()}: {error.orig}")
        yield url

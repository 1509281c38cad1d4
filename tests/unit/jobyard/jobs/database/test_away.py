"""A server that is away is told apart from a setting that is wrong: the one is waited for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import make_url

from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.errors import LedgerAwayError, LedgerUnavailableError
from jobyard.settings import Settings
from jobyard.settings.sections import LedgerSettings
from tests.support.postgresql import SERVER
from tests.support.processes import free_port


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """Be a PostgreSQL server that answers like this when asked to begin, or hangs up; its port."""

    def serve() -> None:
        caller, _ = listener.accept()
        with caller:
            caller.recv(1000)
            if answer is not None:
                caller.sendall(b"N")  # no TLS
                caller.recv(1000)
                caller.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def fatal(code: str, message: str) -> bytes:
    fields = f"SFATAL\0C{code}\0M{message}\0\0".encode()
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


def fault_of(url: str) -> LedgerUnavailableError:
    database = open_database(Settings(ledger=LedgerSettings(url=url)))
    with pytest.raises(LedgerUnavailableError) as raised:
        check_is_migrated(database)
    database.close()
    return raised.value


def url_of(port: int) -> str:
    return f"postgresql+psycopg://postgres:secret@127.0.0.1:{port}/jobyard"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        fatal("57P03", "the database system is starting up"),
        fatal("57P03", "the database system is shutting down"),
        fatal("57P03", "the database system is not yet accepting connections"),
        fatal("53300", "sorry, too many clients already"),
    ],
)
def test_a_server_that_takes_no_connection_now_is_away(answer: bytes | None) -> None:
    with answering(answer) as port:
        fault = fault_of(url_of(port))
    assert isinstance(fault, LedgerAwayError)
    assert "secret" not in str(fault)


@pytest.mark.parametrize("host", [None, "nonesuch.invalid"])
def test_a_port_without_a_server_and_a_name_without_an_address_are_away(host: str | None) -> None:
    url = make_url(url_of(free_port()))
    url = url.set(host=host) if host else url
    assert isinstance(fault_of(url.render_as_string(hide_password=False)), LedgerAwayError)


@pytest.mark.parametrize(
    "answer",
    [fatal("28P01", "password authentication failed"), fatal("3D000", 'database "x" does not exist')],
)
def test_what_does_not_mend_itself_is_not_waited_for(answer: bytes) -> None:
    with answering(answer) as port:
        assert not isinstance(fault_of(url_of(port)), LedgerAwayError)


@pytest.mark.postgresql
def test_a_database_that_does_not_exist_is_not_waited_for() -> None:
    url = make_url(SERVER).set(database="there_is_no_such_database")
    assert not isinstance(fault_of(url.render_as_string(hide_password=False)), LedgerAwayError)


def test_a_sqlite_file_that_does_not_exist_is_not_waited_for() -> None:
    assert not isinstance(fault_of("sqlite:////tmp/no/such/ledger.db"), LedgerAwayError)

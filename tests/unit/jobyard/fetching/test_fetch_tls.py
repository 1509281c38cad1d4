"""Pages over TLS: whose certificates are believed, and HTTP/2 where a server speaks it."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import h2.config
import h2.connection
import h2.events
import pytest

from config.settings import CollectSettings
from jobyard.fetching import fetch as fetching
from jobyard.fetching.allowed_networks import AllowedNetwork
from jobyard.fetching.errors import TemporaryFetchError
from jobyard.fetching.fetch import Fetched, fetch
from jobyard.jobs.errors import Discard
from tests.support.certificates import Certificate, make_certificate
from tests.support.http_server import HttpServer, needs_second_loopback


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Certificate) -> Iterator[None]:
    """For one test the certificate is trusted; what a process trusts is read once, so it is forgotten."""
    fetching._tls_context.cache_clear()
    with certificate.trusted():
        yield
    fetching._tls_context.cache_clear()


def got(url: str, *allow: str) -> Fetched:
    settings = CollectSettings(
        allow=tuple(AllowedNetwork.parse(place) for place in allow or ("127.0.0.0/8",))
    )
    return asyncio.run(fetch(url, settings, max_bytes=10_000))


@contextmanager
def http2_server(
    certificate: Certificate, body: bytes, media_type: str = "text/plain"
) -> Iterator[tuple[str, list[str | None]]]:
    """A server of one page that speaks HTTP/2 alone; gives its URL and the protocols that were agreed."""
    context, agreed = certificate.server_context(), list[str | None]()
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as connection:
                agreed.append(connection.selected_alpn_protocol())
                if agreed == ["h2"]:
                    _answer(connection, body, media_type)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}/", agreed
        thread.join(10)


def _answer(connection: ssl.SSLSocket, body: bytes, media_type: str) -> None:
    config = h2.config.H2Configuration(client_side=False, validate_outbound_headers=False)
    http2 = h2.connection.H2Connection(config)
    http2.initiate_connection()
    connection.sendall(http2.data_to_send())
    while data := connection.recv(65_536):
        for event in http2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                http2.send_headers(event.stream_id, [(":status", "200"), ("content-type", media_type)])
                http2.send_data(event.stream_id, body, end_stream=True)
        connection.sendall(http2.data_to_send())


@pytest.mark.usefixtures("trusted")
def test_http2_is_spoken_with_a_server_that_speaks_it(certificate: Certificate) -> None:
    with http2_server(certificate, b"over two") as (url, agreed):
        page = got(url)
    assert agreed == ["h2"]
    assert (page.body, page.media_type) == (b"over two", "text/plain")


@pytest.mark.usefixtures("trusted")
def test_a_header_that_is_none_is_final_over_http2_too(certificate: Certificate) -> None:
    with (
        http2_server(certificate, b"", "text/\0plain") as (url, _),
        pytest.raises(Discard, match="answers what is not HTTP: a header with a NUL"),
    ):
        got(url)


@pytest.mark.usefixtures("trusted")
def test_a_server_without_http2_is_spoken_to_as_ever(certificate: Certificate) -> None:
    with HttpServer(tls=certificate.server_context()) as server:
        assert got(server.page("/", b"over one")).body == b"over one"


def test_a_certificate_that_nobody_vouches_for_ends_the_attempt(certificate: Certificate) -> None:
    with HttpServer(tls=certificate.server_context()) as server:
        with pytest.raises(TemporaryFetchError, match=r"certificate verify failed"):
            got(server.page("/", b"secret"))
        assert server.asked == []


@needs_second_loopback
@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_ends_the_attempt(certificate: Certificate) -> None:
    with HttpServer("127.0.0.2", certificate.server_context()) as server:
        with pytest.raises(TemporaryFetchError, match=r"certificate verify failed"):
            got(server.page("/", b"secret"))
        assert server.asked == []


@pytest.mark.usefixtures("trusted")
def test_a_connection_over_tls_is_opened_through_the_guard(certificate: Certificate) -> None:
    with HttpServer(tls=certificate.server_context()) as server:
        with pytest.raises(Discard, match="not a public address"):
            got(server.page("/", b"secret"), "192.0.2.0/24")
        assert server.connections() == 0

"""One fetch from a real server: what it brings, where it stops, and which failures are final."""

import asyncio
import gzip
import socket
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from config.settings import CollectSettings
from jobyard.fetching.allowed_networks import AllowedNetwork
from jobyard.fetching.errors import PageRefusedError, TemporaryFetchError
from jobyard.fetching.fetch import LONGEST_RETRY_AFTER, BeforeRequest, Fetched, fetch, retry_after
from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import Discard, RetryLater
from tests.support.http_server import Answer, HttpServer, needs_second_loopback

LIMIT = 10_000
ON_LOOPBACK = ("127.0.0.0/8", "::1/128")
HOUR = timedelta(hours=1)


def got(
    url: str,
    *allow: str,
    seconds: float = 10,
    redirects: int = 5,
    headers: dict[str, str] | None = None,
    before_request: BeforeRequest | None = None,
) -> Fetched:
    places = tuple(AllowedNetwork.parse(place) for place in allow or ON_LOOPBACK)
    settings = CollectSettings(
        allow=places, timeout=timedelta(seconds=seconds), max_redirects=redirects, user_agent="Tester/1"
    )
    return asyncio.run(fetch(url, settings, max_bytes=LIMIT, headers=headers, before_request=before_request))


def test_a_page_comes_with_its_status_headers_and_body(server: HttpServer) -> None:
    page = got(server.page("/a?b=c", b"\x00\xffbody", "Text/Plain; charset=x", ETag='"1"'))
    assert (page.url, page.status, page.body) == (server.url("/a?b=c"), 200, b"\x00\xffbody")
    assert (page.media_type, page.headers["etag"], page.redirects) == ("text/plain", '"1"', ())


def test_a_request_says_who_asks_and_what_is_understood(server: HttpServer) -> None:
    got(server.page("/"), headers={"If-None-Match": '"1"'})
    (asked,) = server.asked
    assert asked.headers["user-agent"] == "Tester/1"
    assert asked.headers["accept-encoding"] == "gzip, deflate"
    assert asked.headers["if-none-match"] == '"1"'


def test_a_proxy_of_the_environment_is_not_asked(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        assert got(server.page("/", b"direct")).body == b"direct"
        assert proxy.connections() == 0


@pytest.mark.parametrize("named", ["", "nonsense", "text/", "text/html\xe9", "a/" + "b" * 200, "a b/c"])
def test_what_is_no_media_type_is_not_taken_for_one(server: HttpServer, named: str) -> None:
    assert got(server.page("/", content_type=named)).media_type == ""


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_recorded(server: HttpServer, status: int) -> None:
    first = server.redirect("/one", "two?x=1", status)
    second = server.redirect("/two?x=1", server.url("/three"), status)
    server.page("/three", b"there")
    page = got(first)
    assert (page.url, page.body, page.redirects) == (server.url("/three"), b"there", (first, second))


def test_too_many_redirects_are_final(server: HttpServer) -> None:
    first = server.redirect("/loop", "/loop")
    with pytest.raises(Discard, match="more than 3 redirects"):
        got(first, redirects=3)
    assert len(server.asked) == 4


def test_as_many_redirects_as_allowed_are_followed(server: HttpServer) -> None:
    server.redirect("/one", "/two")
    server.page("/two", b"there")
    assert got(server.url("/one"), redirects=1).body == b"there"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", "only http:// and https://"),
        ("http://user:secret@127.0.0.1/", "user name or password"),
        ("http://127.0.0.1:99999999/", "an invalid host or port"),
        ("/" + "x" * 2000, "longer than 2000"),
    ],
)
def test_a_redirect_to_what_is_no_page_is_final(server: HttpServer, location: str, said: str) -> None:
    with pytest.raises(Discard, match=said):
        got(server.redirect("/", location))


def test_a_redirect_that_is_no_url_is_final(server: HttpServer) -> None:
    with pytest.raises(Discard, match="answers what is not HTTP: Invalid URL in location header"):
        got(server.redirect("/", "http://[::1"))


@pytest.mark.parametrize("status", [300, 302, 305])
def test_a_redirect_without_a_target_is_final(server: HttpServer, status: int) -> None:
    with pytest.raises(Discard, match=f"answered {status}.*which is not a redirect that can be followed"):
        got(server.route("/", Answer(status=status)))


@needs_second_loopback
def test_a_redirect_to_an_address_that_is_not_allowed_is_refused(server: HttpServer) -> None:
    with HttpServer("127.0.0.2") as inside:
        inside.page("/secret", b"secret")
        with pytest.raises(Discard, match=r"127\.0\.0\.2, which is not a public address"):
            got(server.redirect("/", inside.url("/secret")), "127.0.0.1/32")
        assert inside.connections() == 0


def test_a_redirect_to_a_port_that_is_not_allowed_is_refused(server: HttpServer) -> None:
    with HttpServer() as inside:
        with pytest.raises(Discard, match=r"127\.0\.0\.1, which is not a public address"):
            got(server.redirect("/", inside.url()), f"127.0.0.1:{server.port}")
        assert inside.connections() == 0


# The guard


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"],
)
def test_every_connection_is_opened_through_the_guard(server: HttpServer, host: str) -> None:
    # Fails the day that httpx or httpcore connect by another way than jobyard/fetching/guard.py.
    url = server.page("/", b"secret").replace("127.0.0.1", host)
    with pytest.raises(Discard, match="not a public address"):
        got(url, "192.0.2.0/24")
    assert server.connections() == 0


def test_an_allowed_address_is_reached_however_it_is_written(server: HttpServer) -> None:
    url = server.page("/", b"there")
    for host in ("127.1", "0x7f000001", "2130706433"):
        assert got(url.replace("127.0.0.1", host), "127.0.0.1/32").body == b"there"


# Answers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_4xx_answer_is_final(server: HttpServer, status: int) -> None:
    with pytest.raises(PageRefusedError, match=f"answered {status} "):
        got(server.route("/", Answer(status=status)))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_be_another_later_is_not_final(server: HttpServer, status: int) -> None:
    with pytest.raises(TemporaryFetchError, match=f"answered {status} "):
        got(server.route("/", Answer(status=status)))


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(server: HttpServer, status: int) -> None:
    with pytest.raises(RetryLater, match=f"answered {status} ") as caught:
        got(server.route("/", Answer(status=status, headers={"Retry-After": "120"})))
    assert caught.value.delay == timedelta(seconds=120)
    assert caught.value.counts


def test_retry_after_is_read_in_seconds_and_as_a_date_and_never_longer_than_an_hour() -> None:
    assert retry_after("120") == timedelta(seconds=120)
    assert retry_after("7201") == retry_after("9999999999") == LONGEST_RETRY_AFTER == HOUR
    soon = retry_after(format_datetime(utc_now() + timedelta(minutes=10), usegmt=True))
    assert soon is not None
    assert timedelta(minutes=9) < soon <= timedelta(minutes=10)


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "soon", "-5", "1.5", "²", "9" * 21, "9" * 5000, "Wed, 99 Oct 2015 07:28:00 GMT"),
        *(" 0 ", "Wed, 21 Oct 2015 07:28:00 GMT"),
    ],
)
def test_a_retry_after_that_says_nothing_or_is_past_is_ignored(value: str | None) -> None:
    assert retry_after(value) is None


def test_a_page_that_did_not_change_has_no_body(server: HttpServer) -> None:
    page = got(server.route("/", Answer(status=304, headers={"ETag": '"1"'})))
    assert (page.status, page.body) == (304, b"")


# Bounds


def test_a_page_as_large_as_the_limit_is_kept_and_a_larger_one_is_final(server: HttpServer) -> None:
    assert len(got(server.page("/fits", b"x" * LIMIT)).body) == LIMIT
    with pytest.raises(Discard, match=f"larger than {LIMIT} bytes, counted after decompression"):
        got(server.page("/large", b"x" * (LIMIT + 1)))


def test_a_compressed_page_is_unpacked(server: HttpServer) -> None:
    assert got(server.page("/", gzip.compress(b"page"), Content_Encoding="gzip")).body == b"page"


def test_a_compressed_page_is_measured_unpacked(server: HttpServer) -> None:
    bomb = gzip.compress(bytes(100 * LIMIT))
    assert len(bomb) < LIMIT
    with pytest.raises(Discard, match="larger than"):
        got(server.page("/", bomb, Content_Encoding="gzip"))


@pytest.mark.parametrize(("encoding", "said"), [("gzip", "is broken"), ("br", "'br' was not asked for")])
def test_a_body_in_another_encoding_than_said_is_final(server: HttpServer, encoding: str, said: str) -> None:
    with pytest.raises(Discard, match=said):
        got(server.page("/", b"plain", Content_Encoding=encoding))


def test_a_server_that_drips_is_given_up_when_the_time_for_a_page_is_over(server: HttpServer) -> None:
    url = server.route("/", Answer(b"x" * 1000, drips=5))
    with pytest.raises(TemporaryFetchError, match="took longer than"):
        got(url, seconds=0.5)


def test_the_time_for_a_page_includes_its_redirects(server: HttpServer) -> None:
    def one_more(_: object) -> Answer:
        server.stopping.wait(0.2)
        return Answer(status=302, headers={"Location": "/"})

    with pytest.raises(TemporaryFetchError, match="took longer than"):
        got(server.route("/", one_more), seconds=0.5, redirects=1000)


def test_a_server_that_never_answers_is_not_final() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(TemporaryFetchError, match=r"took longer than|Timeout"),
    ):
        got(f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.3)


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: half",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_a_server_that_breaks_off_is_not_final(saying: Callable[[bytes], int], words: bytes) -> None:
    with pytest.raises(TemporaryFetchError, match="http://127"):
        got(f"http://127.0.0.1:{saying(words)}/")


@pytest.mark.parametrize(
    "words",
    [
        b"hello there\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX\0A: b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 302 Found\r\nLocation: /a\x01b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
    ids=range(6),
)
def test_an_answer_that_is_not_http_is_final(saying: Callable[[bytes], int], words: bytes) -> None:
    with pytest.raises(Discard, match=r"http://127\.0\.0\.1:\d+/ answers what is not HTTP: "):
        got(f"http://127.0.0.1:{saying(words)}/")


def test_a_server_that_is_not_there_is_not_final() -> None:
    with HttpServer() as gone:
        url = gone.url()
    with pytest.raises(TemporaryFetchError):
        got(url)


def test_a_name_that_does_not_resolve_is_not_final() -> None:
    with pytest.raises(TemporaryFetchError, match="cannot be resolved"):
        got("http://a..b/")


# The gate


def test_the_gate_is_asked_before_each_request(server: HttpServer) -> None:
    passed: list[tuple[str, int]] = []

    async def before_request(url: httpx.URL) -> None:
        passed.append((url.path, len(server.asked)))

    server.page("/two")
    got(server.redirect("/one", "/two"), before_request=before_request)
    assert passed == [("/one", 0), ("/two", 1)]


def test_a_gate_that_says_no_stops_the_fetch(server: HttpServer) -> None:
    async def before_request(url: httpx.URL) -> None:
        raise RetryLater(HOUR, "not now", counts=False)

    with pytest.raises(RetryLater, match="not now"):
        got(server.page("/"), before_request=before_request)
    assert server.asked == []

"""Pages through the ledger, a real worker and a real HTTP server: what is kept, and how each failure ends."""

import gzip
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any

import pytest

from jobyard.jobs.clock import utc_now
from jobyard.jobs.files.store import get_files
from jobyard.jobs.job import Cause, Failure, Job, Status
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_attempts
from jobyard.tasks.handle import JobHandle
from tasks.collect.documents import Document, Feed, Kind, Page, Table
from tasks.collect.payload import Collect, Collected
from tasks.collect.task import collect_page
from tests.support.http_server import Answer, HttpServer
from tests.support.processes import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("worker")

HTML = b"<title>Hi</title><p>Hello</p><a href=/there>there</a>"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """A server of the test's own; its port is new, so that no worker knows its robots.txt yet."""
    with HttpServer() as running:
        yield running


def submitted(url: str, **options: Any) -> JobHandle[Collected]:
    return collect_page.delay(Collect.model_validate({"url": url} | options))


def collected(url: str, **options: Any) -> Collected:
    return submitted(url, **options).get(timeout=30)


def ended(handle: JobHandle[Any]) -> Job:
    wait_until(handle.ready, 30, f"{handle} to end")
    return handle.job


def dead(url: str, **options: Any) -> str:
    job = ended(submitted(url, **options))
    assert (job.status, job.attempt) == (Status.DEAD, 1)
    assert job.failure is not None
    assert job.failure.cause is Cause.DISCARDED
    return job.failure.message


def retrying(handle: JobHandle[Any]) -> tuple[Job, Failure]:
    wait_until(lambda: handle.job.status is Status.RETRYING, 30, "the first attempt to fail")
    job = handle.job
    assert job.failure is not None
    return job, job.failure


def kept(page: Collected) -> bytes:
    assert page.file is not None
    return get_files().read(page.file)


# What is kept


def test_a_page_is_kept_as_it_came_and_read(server: HttpServer) -> None:
    page = collected(server.page("/dir/a.html", HTML, "text/html", ETag='"1"', Last_Modified="yesterday"))
    assert (page.status, page.kind, page.media_type, page.size) == (200, Kind.HTML, "text/html", len(HTML))
    assert (page.etag, page.last_modified, page.not_modified) == ('"1"', "yesterday", False)
    assert page.parsed == Page(title="Hi", text="Hello there", links=(server.url("/there"),), truncated=False)
    assert kept(page) == HTML
    assert page.file is not None
    stored = get_files().describe(page.file)
    assert (stored.name, stored.media_type) == ("a.html", "text/html")


@pytest.mark.parametrize(
    ("body", "content_type", "parsed"),
    [
        (b'{"a": [1]}', "application/json", Document(value={"a": [1]}, truncated=False)),
        (b"a;b\r\n1;2\r\n", "text/csv", Table(columns=("a", "b"), rows=(("1", "2"),), truncated=False)),
        (
            b"<rss version='2.0'><channel><title>News</title></channel></rss>",
            "application/rss+xml",
            Feed(title="News", entries=(), truncated=False),
        ),
        (
            b"<feed xmlns='http://www.w3.org/2005/Atom'><title>News</title></feed>",
            "application/atom+xml",
            Feed(title="News", entries=(), truncated=False),
        ),
        (bytes(range(256)) * 100, "image/png", None),
        (b"", "", None),
    ],
    ids=["json", "csv", "rss", "atom", "raw", "empty"],
)
def test_each_kind_is_read_in_its_way_and_kept_byte_for_byte(
    server: HttpServer, body: bytes, content_type: str, parsed: object
) -> None:
    page = collected(server.page("/", body, content_type))
    assert page.parsed == parsed
    assert kept(page) == body


def test_a_compressed_page_is_kept_unpacked(server: HttpServer) -> None:
    page = collected(server.page("/", gzip.compress(HTML), "text/html", Content_Encoding="gzip"))
    assert (kept(page), page.size) == (HTML, len(HTML))


def test_a_kind_that_is_asked_for_wins_over_the_servers_word(server: HttpServer) -> None:
    url = server.page("/", b"[1]", "text/html")
    assert collected(url, kind="json").parsed == Document(value=[1], truncated=False)
    assert collected(url, kind="raw").parsed is None


def test_a_page_that_is_not_of_the_kind_that_was_asked_for_is_final(server: HttpServer) -> None:
    assert "cannot be read as json: not JSON" in dead(server.page("/", HTML, "text/html"), kind="json")
    assert "cannot be read as feed: neither" in dead(server.url("/"), kind="feed")


def test_a_page_that_did_not_change_is_not_sent_again(server: HttpServer) -> None:
    unchanged = Answer(status=304, headers={"ETag": '"1"'})
    url = server.route("/", Answer(HTML, headers={"ETag": '"1"', "Last-Modified": "then"}), unchanged)
    first = collected(url)
    second = collected(url, etag=first.etag, last_modified=first.last_modified)
    assert (second.not_modified, second.status, second.file, second.parsed) == (True, 304, None, None)
    asked = server.asked_for("/")[1].headers
    assert (asked["if-none-match"], asked["if-modified-since"]) == ('"1"', "then")


def test_the_way_through_redirects_is_recorded(server: HttpServer) -> None:
    url = server.redirect("/old", "/new")
    server.page("/new", HTML, "text/html")
    page = collected(url)
    assert (page.url, page.redirects) == (server.url("/new"), (url,))


# What is not fetched


def test_a_redirect_to_an_address_that_is_not_allowed_is_final(server: HttpServer) -> None:
    for target in ("http://192.168.0.1/", "http://[::1]:6379/", "http://169.254.169.254/latest/meta-data/"):
        said = dead(server.redirect("/", target))
        assert "not a public address" in said
        assert "JOBYARD_COLLECT__ALLOW" in said


def test_a_page_that_is_not_for_robots_is_final_unless_that_is_overridden(server: HttpServer) -> None:
    server.page("/robots.txt", b"User-agent: *\nDisallow: /private")
    url = server.page("/private", HTML, "text/html")
    assert "respect_robots=false" in dead(url)
    assert server.asked_for("/private") == []
    assert collected(url, respect_robots=False).size == len(HTML)


def test_a_redirect_into_what_is_not_for_robots_is_final(server: HttpServer) -> None:
    server.page("/robots.txt", b"User-agent: *\nDisallow: /private")
    server.page("/private", HTML)
    assert "respect_robots=false" in dead(server.redirect("/public", "/private"))
    assert server.asked_for("/private") == []


def test_a_robots_txt_that_cannot_be_had_puts_the_page_off(server: HttpServer, ledger: Ledger) -> None:
    server.route("/robots.txt", Answer(status=500), Answer(status=404))
    handle = submitted(server.page("/", HTML, "text/html"))
    assert handle.get(timeout=30).size == len(HTML)
    (first,) = get_attempts(ledger.database, handle.id)
    assert "robots.txt first" in first.failure.message
    assert len(server.asked_for("/")) == 1


# How failures end


def test_a_page_that_does_not_exist_is_final(server: HttpServer) -> None:
    assert dead(server.url("/none")) == f"{server.url('/none')} answered 404 Not Found"


def test_a_server_in_trouble_is_asked_again(server: HttpServer, ledger: Ledger) -> None:
    handle = submitted(server.route("/", Answer(status=500), Answer(HTML)))
    assert handle.get(timeout=30).size == len(HTML)
    (first,) = get_attempts(ledger.database, handle.id)
    assert (handle.job.attempt, first.failure.type) == (2, "TemporaryFetchError")


def test_a_page_whose_server_is_away_is_fetched_when_it_is_back() -> None:
    port = free_port()
    handle = submitted(f"http://127.0.0.1:{port}/")
    _, failure = retrying(handle)
    assert (failure.type, "robots.txt first" in failure.message) == ("TemporaryFetchError", True)
    with HttpServer(port=port) as server:
        server.page("/", HTML, "text/html")
        assert handle.get(timeout=60).size == len(HTML)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_says_when_to_come_back_is_obeyed(
    server: HttpServer, ledger: Ledger, status: int, form: str
) -> None:
    wait = timedelta(minutes=30)
    written = "1800" if form == "seconds" else format_datetime(utc_now() + wait, usegmt=True)
    handle = submitted(server.route("/", Answer(status=status, headers={"Retry-After": written})))
    job, failure = retrying(handle)
    (attempt,) = get_attempts(ledger.database, job.id)
    assert abs(job.run_at - attempt.ended_at - wait) < timedelta(seconds=30)
    assert (failure.cause, job.failures) == (Cause.RETRY_LATER, 1)
    assert f"answered {status}" in failure.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"plain", headers={"Content-Encoding": "gzip"}), "is broken"),
        (
            Answer(gzip.compress(bytes(11 * 1024**2)), headers={"Content-Encoding": "gzip"}),
            "after decompression",
        ),
        (
            Answer(b"<div>" * 300_000, headers={"Content-Type": "text/html"}),
            "cannot be read as html: takes more",
        ),
    ],
    ids=["broken", "bomb", "tangled"],
)
def test_a_body_that_is_not_to_be_had_is_final_and_says_why(
    server: HttpServer, answer: Answer, said: str
) -> None:
    assert said in dead(server.route("/", answer))


def test_a_server_that_drips_does_not_hold_a_worker_for_ever(server: HttpServer) -> None:
    handle = submitted(server.route("/", Answer(b"x" * 100_000, drips=10)))
    _, failure = retrying(handle)
    assert failure.type == "TemporaryFetchError"
    assert "took longer than 5 s" in failure.message


# Turns


def test_jobs_at_one_host_take_turns_and_waiting_uses_up_no_attempt(
    server: HttpServer, ledger: Ledger
) -> None:
    server.page("/robots.txt", b"User-agent: *\nCrawl-delay: 3")
    url = server.page("/", HTML, "text/html")
    began = monotonic()
    handles = [collect_page.submit(Collect(url=url), max_attempts=1) for _ in range(2)]
    for handle in handles:
        assert handle.get(timeout=30).size == len(HTML)
    put_off = [one for handle in handles for one in get_attempts(ledger.database, handle.id)]
    assert [one.failure.cause for one in put_off] == [Cause.RETRY_LATER]
    assert "other jobs ask" in put_off[0].failure.message
    assert [handle.job.failures for handle in handles] == [0, 0]
    assert server.asked_for("/")[1].at - began > 2.9


def test_a_redirect_within_a_host_needs_no_second_turn(server: HttpServer, ledger: Ledger) -> None:
    server.page("/robots.txt", b"User-agent: *\nCrawl-delay: 10")
    server.page("/new", HTML, "text/html")
    handle = submitted(server.redirect("/old", "/new"))
    assert handle.get(timeout=30).url == server.url("/new")
    assert get_attempts(ledger.database, handle.id) == []

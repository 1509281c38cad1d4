"""What a real server's robots.txt allows, and what its absence or its trouble mean (RFC 9309)."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from structlog.testing import capture_logs

from config.settings import CollectSettings
from jobyard.fetching.allowed_networks import AllowedNetwork
from jobyard.fetching.errors import TemporaryFetchError
from jobyard.jobs.errors import Discard, RetryLater
from tasks.collect import robots as web_robots
from tasks.collect.outlines import TangledError
from tasks.collect.robots import LONGEST_CRAWL_DELAY, MAX_BYTES, crawl_delay
from tests.support.http_server import Answer, HttpServer

INTERVAL = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Two tests may get the same port one after the other: what was kept of one is not the other's."""
    web_robots.clear_cache()


def asked(server: HttpServer, path: str = "/page", interval: timedelta = INTERVAL) -> timedelta:
    settings = CollectSettings(
        allow=(AllowedNetwork.parse("127.0.0.0/8"),),
        host_interval=interval,
        timeout=timedelta(seconds=10),
        user_agent="Jobyard/0.1 (page.collect)",
    )
    return asyncio.run(crawl_delay(httpx.URL(server.url(path)), settings))


def robots(server: HttpServer, *lines: str) -> None:
    server.page("/robots.txt", "\n".join(lines).encode(), "text/plain")


def test_a_page_that_robots_may_not_fetch_is_final_and_says_how_to_fetch_it_all_the_same(
    server: HttpServer,
) -> None:
    robots(server, "User-agent: *", "Disallow: /private")
    with pytest.raises(Discard, match=r"robots\.txt does not let .*/private/x; respect_robots=false"):
        asked(server, "/private/x")
    assert asked(server, "/public") == INTERVAL


def test_the_rules_for_us_win_over_those_for_all(server: HttpServer) -> None:
    robots(server, "User-agent: *", "Disallow:", "", "User-agent: jobyard", "Disallow: /*.pdf$", "Allow: /")
    assert asked(server, "/a.html") == INTERVAL
    with pytest.raises(Discard):
        asked(server, "/a.pdf")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_hides_no_rule(server: HttpServer, mark: bytes) -> None:
    server.page("/robots.txt", mark + b"User-agent: *\r\nDisallow: /\r\n")
    with pytest.raises(Discard):
        asked(server)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_4xx_answer_means_that_there_are_no_rules(server: HttpServer, status: int) -> None:
    server.route("/robots.txt", Answer(b"User-agent: *\nDisallow: /", status))
    assert asked(server) == INTERVAL


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b"\xff\x00\xfe", b"Disallow: /"])
def test_what_holds_no_rules_allows_everything(server: HttpServer, body: bytes) -> None:
    server.page("/robots.txt", body)
    assert asked(server) == INTERVAL


def test_a_server_in_trouble_is_asked_again_later_and_the_trouble_is_not_kept(server: HttpServer) -> None:
    server.route("/robots.txt", Answer(status=500), Answer(b"User-agent: *\nDisallow: /private"))
    with pytest.raises(TemporaryFetchError, match=r"robots\.txt first: .*answered 500"):
        asked(server)
    assert asked(server) == INTERVAL
    with pytest.raises(Discard):
        asked(server, "/private")


def test_a_server_that_says_when_to_ask_again_is_obeyed(server: HttpServer) -> None:
    server.route("/robots.txt", Answer(status=503, headers={"Retry-After": "60"}))
    with pytest.raises(RetryLater) as caught:
        asked(server)
    assert caught.value.delay == timedelta(seconds=60)


def test_the_rules_are_asked_for_once_and_kept(server: HttpServer) -> None:
    robots(server, "User-agent: *", "Disallow: /private")
    for _ in range(3):
        asked(server)
    assert len(server.asked_for("/robots.txt")) == 1


def test_each_port_has_rules_of_its_own(server: HttpServer) -> None:
    robots(server, "User-agent: *", "Disallow: /")
    with HttpServer() as other:
        assert asked(other) == INTERVAL
        with pytest.raises(Discard):
            asked(server)


def test_rules_that_have_moved_are_followed(server: HttpServer) -> None:
    server.redirect("/robots.txt", "/rules.txt")
    server.page("/rules.txt", b"User-agent: *\nDisallow: /")
    with pytest.raises(Discard, match="does not let"):
        asked(server)


def test_rules_at_an_address_that_is_not_allowed_are_not_fetched(server: HttpServer) -> None:
    server.redirect("/robots.txt", "http://192.168.0.1/robots.txt")
    with pytest.raises(Discard, match="not a public address"):
        asked(server)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("5", timedelta(seconds=5)),
        ("2.5", timedelta(seconds=2.5)),
        ("0.1", INTERVAL),
        ("3600", LONGEST_CRAWL_DELAY),
        ("9" * 30, LONGEST_CRAWL_DELAY),
        ("1e400", INTERVAL),
        ("nan", INTERVAL),
        ("-5", INTERVAL),
        ("soon", INTERVAL),
    ],
)
def test_a_crawl_delay_is_kept_within_reason(server: HttpServer, wanted: str, given: timedelta) -> None:
    robots(server, "User-agent: *", f"Crawl-delay: {wanted}")
    assert asked(server) == given


def test_no_crawl_delay_makes_us_faster_than_the_settings_say(server: HttpServer) -> None:
    robots(server, "User-agent: *", "Crawl-delay: 5")
    assert asked(server, interval=timedelta(minutes=1)) == timedelta(minutes=1)


def test_of_a_large_file_the_beginning_counts(server: HttpServer) -> None:
    filling = "# " + "x" * MAX_BYTES
    robots(server, "User-agent: *", "Disallow: /private", filling, "Disallow: /public")
    assert asked(server, "/public") == INTERVAL
    with pytest.raises(Discard, match=r"robots\.txt does not let"):
        asked(server, "/private")


def test_a_body_that_cannot_be_decompressed_holds_no_rules(server: HttpServer) -> None:
    server.route("/robots.txt", Answer(b"no gzip", headers={"Content-Encoding": "gzip"}))
    assert asked(server) == INTERVAL


def test_many_names_and_many_rules_cost_no_more_than_their_text(server: HttpServer) -> None:
    names = [f"User-agent: bot{number}" for number in range(5_000)]
    rules = [f"Disallow: /private{number}" for number in range(5_000)]
    robots(server, *names, "User-agent: *", *rules)
    assert asked(server, "/public") == INTERVAL
    with pytest.raises(Discard, match=r"robots\.txt does not let"):
        asked(server, "/private4999")


def test_rules_that_take_too_long_are_not_obeyed_and_tried_once(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_too_long(*_: object) -> None:
        raise TangledError("takes more than 3 s")

    monkeypatch.setattr(web_robots, "outline", take_too_long)
    robots(server, "User-agent: *", "Disallow: /")
    with capture_logs() as logs:
        for _ in range(2):
            assert asked(server) == INTERVAL
    assert [entry["event"] for entry in logs] == ["robots.txt is not obeyed"]


def test_a_rule_with_many_wildcards_is_obeyed(server: HttpServer) -> None:
    robots(server, "User-agent: *", "Disallow: /" + "*a" * 40 + "$")
    assert asked(server, "/" + "a" * 1500 + "b") == INTERVAL
    with pytest.raises(Discard, match=r"robots\.txt does not let"):
        asked(server, "/" + "a" * 1500)


@pytest.mark.parametrize(
    ("lines", "is_allowed"),
    [
        (["User-agent: *", "User-agent: jobyard", "Disallow: /"], False),
        (["User-agent: jobyard", "Allow: /", "User-agent: *", "Disallow: /"], True),
        (["User-agent: *", "Disallow: /", "", "User-agent: Jobyard/2.0", "Disallow:"], True),
        (["User-agent: yard", "Disallow: /"], True),
        (["User-agent: jobyard", "Sitemap: http://a.example/", "User-agent: other", "Disallow: /"], False),
        (["User-agent: other", "Crawl-delay: 1", "User-agent: *", "Disallow: /"], False),
        (["User-agent: jobyard*", "Disallow: /"], False),
        (["User-agent:", "Disallow: /"], True),
        (["user agent: * # all", "disallow: / # everything"], False),
        (["User-agent: jobyard", "Disallow: /x", "User-agent: jobyard", "Disallow: /page"], False),
    ],
)
def test_the_group_with_the_longest_name_for_us_counts(
    server: HttpServer, lines: list[str], is_allowed: bool
) -> None:
    robots(server, *lines)
    if is_allowed:
        assert asked(server) == INTERVAL
    else:
        with pytest.raises(Discard, match=r"robots\.txt does not let"):
            asked(server)

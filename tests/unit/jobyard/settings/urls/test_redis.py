"""URLs of Redis and Sentinel: what they say, and how a wrong one is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from jobyard.settings.sections import BrokerSettings, RedisSettings
from jobyard.settings.urls.redis import parse_redis_url, plain_url


def test_a_url_of_a_server_names_it_its_database_and_who_asks() -> None:
    place = parse_redis_url("redis://ada:p%40ss%2Fword@example.org:6380/3")
    assert place.hosts == (("example.org", 6380),)
    assert (place.db, place.username, place.password) == (3, "ada", "p@ss/word")
    assert (place.master, place.tls) == (None, {})


@pytest.mark.parametrize("url", ["redis://", "redis:///0", "redis://127.0.0.1/", "redis://127.0.0.1:6379/0"])
def test_what_a_url_leaves_out_is_as_everywhere(url: str) -> None:
    place = parse_redis_url(url)
    assert (place.hosts, place.db, place.username) == ((("127.0.0.1", 6379),), 0, None)


def test_a_url_of_sentinels_names_each_of_them_the_master_and_both_passwords() -> None:
    place = parse_redis_url(
        "sentinel://ada:pass@one,two:26380,[::1]:26381/2?master=yard&sentinel_user=eve&sentinel_password=w%26rd"
    )
    assert place.hosts == (("one", 26379), ("two", 26380), ("::1", 26381))
    assert (place.db, place.username, place.password) == (2, "ada", "pass")
    assert (place.master, place.sentinel_username, place.sentinel_password) == ("yard", "eve", "w&rd")
    assert place.tls == {}


def test_tls_always_says_how_certificates_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    assert parse_redis_url(f"rediss://example.org?ssl_ca_certs={file}").tls == {
        "ssl_ca_certs": str(file),
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }
    assert parse_redis_url("sentinel://h/0?master=m&tls=true").tls["ssl_cert_reqs"] == "required"
    assert parse_redis_url("sentinel://h/0?master=m&tls=false").tls == {}


def test_celery_and_flower_are_given_one_host_and_no_parameters() -> None:
    assert plain_url("redis://:pa,ss@h:1/2") == "redis://:pa,ss@h:1/2"
    assert plain_url("rediss://h/0?ssl_cert_reqs=none") == "rediss://h/0"
    assert plain_url("sentinel://u:pa,ss@a:1,b:2/3?master=m") == "sentinel://u:pa,ss@a:1/3"


def test_a_place_that_is_shown_holds_no_password() -> None:
    shown = repr(parse_redis_url("sentinel://u:hidden1@a,b/0?master=m&sentinel_password=hidden2"))
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sentinel://h1,h2/0", r"no master is named: add \?master=NAME"),
        ("sentinel://h1,h2/0?master=", "no master is named"),
        ("sentinel:///0?master=m", "a host is missing"),
        ("sentinel://h1,,h2/0?master=m", "a host is missing"),
        ("sentinel://h1:x,h2/0?master=m", "a port must be a number from 1 to 65535"),
        ("sentinel://h1,h2:70000/0?master=m", "a port must be a number from 1 to 65535"),
        ("sentinel://h1/0?master=m&tls=yes", "tls must be true or false"),
        ("sentinel://h1/0?master=m&ssl_cert_reqs=none", "without TLS: switch TLS on with tls=true"),
        ("redis://h1,h2/0", "only sentinel:// may have several hosts"),
        ("redis://h:0/0", "a port must be a number"),
        ("redis://:secret/1@h:6379/0", "percent-encoded"),
        ("redis://:secret#1@h:6379/0", "percent-encoded"),
        ("redis://:secret?1@h:6379/0", "percent-encoded"),
        ("redis://h/one", "only the number of a database may follow the host, like /0"),
        ("redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs without TLS: switch TLS on with rediss://"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "one of required, optional, none"),
        ("rediss://h/0?ssl_check_hostname=no", "ssl_check_hostname must be true or false"),
        ("rediss://h/0?ssl_ca_certs=/nowhere.pem", "ssl_ca_certs: there is no file /nowhere.pem"),
        ("rediss://h/0?timeout=1", "'timeout' is not a parameter of rediss://"),
        ("redis://h/0?master=m", "'master' is not a parameter of redis://"),
    ],
)
def test_a_wrong_url_is_refused_with_what_to_mend_and_without_the_password(url: str, words: str) -> None:
    for section in (BrokerSettings, RedisSettings):
        with pytest.raises(ValidationError, match=words) as caught:
            section(url=url)
        [detail] = caught.value.errors(include_input=False)
        assert "secret" not in detail["msg"]

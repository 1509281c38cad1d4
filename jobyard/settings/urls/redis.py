"""Parses the URL of a Redis: a server, or the Sentinels that know the master of a group.

redis://user:password@host:port/DB
rediss://user:password@host:port/DB?ssl_ca_certs=FILE            with TLS
sentinel://user:password@host:port,host:port/DB?master=NAME      and `&tls=true` with TLS
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_PARAMETERS: Final = (*FILES, "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_PARAMETERS: Final = ("master", "sentinel_user", "sentinel_password", "tls")
CHECKS_OF_CERTIFICATES: Final = ("required", "optional", "none")
BOOLEANS: Final = {"true": True, "false": False}
ENCODE: Final = "and / ? # @ : in a password must be percent-encoded, / as %2F"


@dataclass(frozen=True)
class RedisAddress:
    """A server; or, if `master` is set, the group of that name, whose Sentinels are the hosts."""

    hosts: tuple[tuple[str, int], ...]
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    # redis-py's options for certificates; empty exactly when TLS is not used.
    tls: Mapping[str, Any] = field(default_factory=dict)
    master: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def parse_redis_url(url: str) -> RedisAddress:
    """Read a `redis://`, `rediss://` or `sentinel://` URL; raises `ValueError` with the way to mend it."""
    parts = urlsplit(url)
    is_sentinel = parts.scheme == "sentinel"
    login, _, netloc = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    hosts = tuple(_hosts(netloc, SENTINEL_PORT if is_sentinel else REDIS_PORT, is_sentinel))
    query = _query(parts)
    has_tls = _boolean(query, "tls", False) if is_sentinel else parts.scheme == "rediss"
    if is_sentinel and not query.get("master"):
        raise ValueError("no master is named: add ?master=NAME, as `sentinel monitor NAME` has it")
    return RedisAddress(
        hosts=hosts,
        db=_db(parts.path),
        username=unquote(username) or None,
        password=unquote(password) or None,
        tls=_tls(query, has_tls, "tls=true" if is_sentinel else "rediss://"),
        master=query.get("master"),
        sentinel_username=query.get("sentinel_user"),
        sentinel_password=query.get("sentinel_password"),
    )


def plain_url(url: str) -> str:
    """Return the URL for Celery and Flower: one host, and no parameters."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}{hosts.partition(',')[0]}", query="").geturl()


def _query(parts: SplitResult) -> dict[str, str]:
    if parts.fragment:
        raise ValueError(f"the URL must not contain a #, {ENCODE}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = (*(SENTINEL_PARAMETERS if parts.scheme == "sentinel" else ()), *TLS_PARAMETERS)
    for name in query:
        if not name.isidentifier():
            raise ValueError(f"only parameters may follow a ?, {ENCODE}")
        if name not in known:
            raise ValueError(
                f"{name!r} is not a parameter of {parts.scheme}://, which has {', '.join(known)}"
            )
    return query


def _hosts(text: str, default_port: int, is_sentinel: bool) -> Iterator[tuple[str, int]]:
    # The messages repeat no value: with an unencoded password it may be a part of the password.
    hosts = text.split(",")
    if len(hosts) > 1 and not is_sentinel:
        raise ValueError("only sentinel:// may have several hosts")
    for host in hosts:
        try:
            parts = urlsplit(f"//{host}")
            port = default_port if parts.port is None else parts.port
        except ValueError:
            port = 0
        if not port:
            raise ValueError(f"a port must be a number from 1 to 65535, {ENCODE}")
        if not parts.hostname and is_sentinel:
            raise ValueError("a host is missing: write sentinel://host:port,host:port/0?master=NAME")
        yield parts.hostname or "127.0.0.1", port


def _db(path: str) -> int:
    number = path.removeprefix("/")
    if number and not number.isdecimal():
        raise ValueError(f"only the number of a database may follow the host, like /0, {ENCODE}")
    return int(number or 0)


def _tls(query: dict[str, str], has_tls: bool, switch: str) -> dict[str, Any]:
    options: dict[str, Any] = {name: query[name] for name in TLS_PARAMETERS if name in query}
    if not has_tls:
        if options:
            raise ValueError(f"{', '.join(options)} without TLS: switch TLS on with {switch}")
        return {}
    for name in FILES:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"{name}: there is no file {options[name]}")
    # Always set: kombu's default is "none".
    options["ssl_cert_reqs"] = query.get("ssl_cert_reqs", "required")
    if options["ssl_cert_reqs"] not in CHECKS_OF_CERTIFICATES:
        raise ValueError(f"ssl_cert_reqs must be one of {', '.join(CHECKS_OF_CERTIFICATES)}")
    options["ssl_check_hostname"] = _boolean(query, "ssl_check_hostname", True)
    return options


def _boolean(query: dict[str, str], name: str, default: bool) -> bool:
    if query.get(name, "true") not in BOOLEANS:
        raise ValueError(f"{name} must be true or false")
    return BOOLEANS[query[name]] if name in query else default

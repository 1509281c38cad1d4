"""Checks the caller: it needs an API key, or where no key is set, it must be on this machine."""

import hmac
from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from pydantic import SecretStr

from jobyard.http.errors import Problem
from jobyard.http.parts import TheParts
from jobyard.jobs.actors import LOCAL
from jobyard.settings.key_fingerprint import key_fingerprint
from jobyard.settings.settings import is_loopback


async def check_caller(request: Request, parts: TheParts) -> None:
    """Raise a 401 `Problem` for a caller without a key, or 403 for a remote one where no key is set."""
    if not parts.keys:
        _must_be_local(request)
    elif _key_of(request, parts.keys) is None:
        raise _unauthorized("Bearer")


async def check_reader(request: Request, parts: TheParts) -> None:
    """Check as `check_caller` does; a key may be the password of HTTP Basic, too, which a browser asks for.

    Only for what changes nothing: from then on a browser sends the password with every request to this
    address, also on behalf of another site.
    """
    if not parts.keys:
        _must_be_local(request)
    elif _key_of(request, parts.keys) is None and not _has_basic_key(request, parts.keys):
        raise _unauthorized('Basic realm="Jobyard: any name, and a key as the password"')


async def is_trusted(request: Request, parts: TheParts) -> bool:
    """Tell whether `check_caller` lets the caller pass."""
    try:
        await check_caller(request, parts)
    except Problem:
        return False
    return True


def _key_of(request: Request, keys: Sequence[SecretStr]) -> SecretStr | None:
    headers = request.headers
    return given_key(keys, headers.get("authorization", ""), headers.get("x-api-key", ""))


def _has_basic_key(request: Request, keys: Sequence[SecretStr]) -> bool:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    try:
        _, _, password = b64decode(credentials, validate=True).partition(b":")
    except ValueError:
        return False
    return scheme.lower() == "basic" and _matching(keys, password) is not None


def _unauthorized(challenge: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "send one of the keys in JOBYARD_API__KEYS as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        kind="unauthorized",
        field="Authorization",
        headers={"WWW-Authenticate": challenge},
    )


def has_key(keys: Sequence[SecretStr], authorization: str, api_key: str) -> bool:
    """Tell whether one of the two headers holds one of the keys."""
    return given_key(keys, authorization, api_key) is not None


def given_key(keys: Sequence[SecretStr], authorization: str, api_key: str) -> SecretStr | None:
    """Return the one of the keys that one of the two headers holds, or None."""
    scheme, _, token = authorization.partition(" ")
    # Headers are raw bytes as Latin-1, where the last byte of a key may look like a space to `strip()`.
    given = (token.strip(" \t") if scheme.lower() == "bearer" else api_key).encode("latin-1")
    return _matching(keys, given)


def get_actor(request: Request, parts: TheParts) -> str:
    """Return the name under which the ledger keeps what this caller does; `check_caller` let it in."""
    key = _key_of(request, parts.keys)
    return key_fingerprint(key) if key is not None else LOCAL


TheActor = Annotated[str, Depends(get_actor)]


def _matching(keys: Sequence[SecretStr], given: bytes) -> SecretStr | None:
    return next((key for key in keys if hmac.compare_digest(given, key.get_secret_value().encode())), None)


def _must_be_local(request: Request) -> None:
    # Uvicorn can be started on any address, whatever our settings say. A foreign web page can resolve its
    # own name to 127.0.0.1 (DNS rebinding) or post here from a browser, so Host and Origin are checked too.
    caller = request.client.host if request.client else "localhost"
    foreign = non_local_headers(request.headers.get("host", ""), request.headers.get("origin"))
    if foreign or not is_loopback(caller):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "without JOBYARD_API__KEYS only this machine may call, by the name localhost or 127.0.0.1",
            kind="forbidden",
            field=foreign[0] if foreign else None,
        )


def non_local_headers(host: str, origin: str | None) -> tuple[str, ...]:
    """Return which of the headers Host and Origin name another machine."""
    names = {"Host": f"//{host}", "Origin": origin}
    return tuple(name for name, url in names.items() if url is not None and not is_loopback(_host_of(url)))


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a bracket that does not close
        return ""

"""Checks the caller: it needs an API key, or where no key is set, it must be on this machine."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Request
from pydantic import SecretStr

from jobyard.http.errors import Problem
from jobyard.http.parts import TheParts
from jobyard.settings.settings import is_loopback


async def check_caller(request: Request, parts: TheParts) -> None:
    """Raise a 401 `Problem` for a caller without a key, or 403 for a remote one where no key is set."""
    keys, headers = parts.keys, request.headers
    if not keys:
        _must_be_local(request)
    elif not has_key(keys, headers.get("authorization", ""), headers.get("x-api-key", "")):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "send one of the keys in JOBYARD_API__KEYS as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
            kind="unauthorized",
            field="Authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )


def has_key(keys: Sequence[SecretStr], authorization: str, api_key: str) -> bool:
    """Tell whether one of the two headers holds one of the keys."""
    scheme, _, token = authorization.partition(" ")
    # Headers are raw bytes as Latin-1, where the last byte of a key may look like a space to `strip()`.
    given = (token.strip(" \t") if scheme.lower() == "bearer" else api_key).encode("latin-1")
    return any(hmac.compare_digest(given, key.get_secret_value().encode()) for key in keys)


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

"""Who may call: whoever has a key, or where none is set, this machine."""

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
    """Raise a 401 or 403 `Problem` unless the caller has a key, or none is set and it is on this machine."""
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
    """Tell whether one of two headers holds one of the keys."""
    scheme, _, token = authorization.partition(" ")
    given = (token.strip() if scheme.lower() == "bearer" else api_key).encode("latin-1")  # as it came
    return any(hmac.compare_digest(given, key.get_secret_value().encode()) for key in keys)


def _must_be_local(request: Request) -> None:
    # Uvicorn can be told to listen anywhere, whatever our settings say; and a stranger's web page can
    # point a name of its own at 127.0.0.1, or send a browser here, so both names count as well.
    caller = request.client.host if request.client else "localhost"
    strange = strange_names(request.headers.get("host", ""), request.headers.get("origin"))
    if strange or not is_loopback(caller):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "without JOBYARD_API__KEYS only this machine may call, by the name localhost or 127.0.0.1",
            kind="forbidden",
            field=strange[0] if strange else None,
        )


def strange_names(host: str, origin: str | None) -> tuple[str, ...]:
    """Return which of the headers Host and Origin name another machine."""
    names = {"Host": f"//{host}", "Origin": origin}
    return tuple(name for name, url in names.items() if url is not None and not is_loopback(_host_of(url)))


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a bracket that does not close
        return ""

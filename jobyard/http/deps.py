"""What the routes need: the yard's parts, and the check of who is asking."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from pydantic import SecretStr

from jobyard.broker.publisher import Publisher
from jobyard.http.accept.group_commit import Intake
from jobyard.http.accept.waiting import Waiting
from jobyard.http.errors import Problem
from jobyard.jobs.files.store import FileStore
from jobyard.jobs.ledger.ledger import Ledger
from jobyard.settings.settings import Settings, is_loopback


@dataclass(frozen=True)
class Yard:
    """The parts that one API process is made of."""

    settings: Settings
    ledger: Ledger
    files: FileStore
    publisher: Publisher
    intake: Intake
    waiting: Waiting

    @property
    def keys(self) -> Sequence[SecretStr]:
        return self.settings.api.keys


async def get_yard(request: Request) -> Yard:
    # Async although it waits for nothing: a plain function would cost every request a hop to a thread.
    yard: Yard = request.app.state.yard
    return yard


TheYard = Annotated[Yard, Depends(get_yard)]


async def check_caller(request: Request, yard: TheYard) -> None:
    """Raise a 401 or 403 `Problem` unless the caller has a key, or none is set and it is on this machine."""
    keys, headers = yard.keys, request.headers
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

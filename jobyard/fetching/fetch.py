"""Fetches a page from public addresses only, bounded in bytes and time, and follows redirects itself."""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus

import h2.exceptions
import h11
import httpcore
import httpx

from jobyard.fetching.errors import PageRefusedError, TemporaryFetchError
from jobyard.fetching.guard import GuardedBackend, NameNotResolvedError
from jobyard.fetching.inflate import ACCEPTED, TooLargeError, UndecodableError, read_body
from jobyard.fetching.settings import FetchSettings
from jobyard.fetching.urls import checked_url
from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import Discard, RetryLater

LONGEST_RETRY_AFTER = timedelta(hours=1)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEMPORARY = frozenset({408, 425, 429})
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,99}/[a-z0-9!#$&^_.+-]{1,99}")  # RFC 6838, 4.2
_NEVER_IN_A_HEADER = re.compile(rb"[\0\r\n]")

BeforeRequest = Callable[[httpx.URL], Awaitable[None]]


@dataclass(frozen=True)
class Fetched:
    """A page: `body` is decompressed, `headers` are in lower case, `redirects` are the URLs on the way."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    redirects: tuple[str, ...]

    @property
    def media_type(self) -> str:
        """The media type of the page, empty where the server names none or a malformed one."""
        media_type = self.headers.get("content-type", "").split(";")[0].strip().lower()
        return media_type if _MEDIA_TYPE.fullmatch(media_type) else ""


async def fetch(
    url: str,
    settings: FetchSettings,
    *,
    headers: Mapping[str, str] | None = None,
    before_request: BeforeRequest | None = None,
    max_bytes: int | None = None,
    cuts: bool = False,
) -> Fetched:
    """Fetch a page; `before_request` is awaited before each request, with its URL, and may raise to stop it.

    `max_bytes` is the largest body, instead of the settings' limit. With `cuts` the beginning of a larger one
    is returned, and nothing of one that cannot be decompressed.

    Raises `TemporaryFetchError` and `RetryLater` if another attempt may succeed, otherwise `Discard`.
    """
    limit = settings.max_bytes if max_bytes is None else max_bytes
    try:
        async with asyncio.timeout(settings.timeout.total_seconds()):
            return await _follow(checked_url(url), limit, cuts, headers or {}, before_request, settings)
    except TimeoutError as error:
        seconds = settings.timeout.total_seconds()
        raise TemporaryFetchError(
            f"{url} took longer than {seconds:.0f} s ({settings.environment_prefix}TIMEOUT)"
        ) from error
    except (httpx.TransportError, httpcore.ConnectError, NameNotResolvedError) as error:
        raise TemporaryFetchError(f"{url}: {error or type(error).__name__}") from error
    except (ValueError, httpx.InvalidURL) as error:
        raise Discard(f"{url}: {error}") from error


async def _follow(
    url: httpx.URL,
    max_bytes: int,
    cuts: bool,
    headers: Mapping[str, str],
    before_request: BeforeRequest | None,
    settings: FetchSettings,
) -> Fetched:
    redirects: list[str] = []
    async with _client(settings) as client:
        while True:
            if before_request is not None:
                await before_request(url)
            async with aclosing(await _send(client, url, headers)) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None:
                    return await _read(response, max_bytes, cuts, tuple(redirects))
            redirects.append(str(url))
            if len(redirects) > settings.max_redirects:
                raise Discard(f"{redirects[0]}: more than {settings.max_redirects} redirects")
            url = checked_url(str(url.join(location)))


async def _send(client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
    """Return the response to a request, with its body still to read."""
    try:
        return await client.send(client.build_request("GET", url, headers=headers), stream=True)
    except httpx.ProtocolError as error:
        if _is_malformed_answer(error):
            raise Discard(f"{url} answers what is not HTTP: {error}") from error
        raise


def _is_malformed_answer(error: httpx.ProtocolError) -> bool:
    cause = error.__cause__
    if isinstance(cause, httpcore.ProtocolError):
        # It holds what the parser has raised; of a connection that ends too early a text or an event instead.
        return isinstance(cause.args[0], h11.ProtocolError | h2.exceptions.ProtocolError)
    return True  # httpx's own error, about a redirect


async def _read(response: httpx.Response, max_bytes: int, cuts: bool, redirects: tuple[str, ...]) -> Fetched:
    _check_headers(response)
    _check_status(response)
    try:
        encoding = response.headers.get("content-encoding", "")
        body = (
            b""
            if response.status_code == HTTPStatus.NOT_MODIFIED
            else await read_body(response.aiter_raw(), encoding, max_bytes)
        )
    except TooLargeError as error:
        if not cuts:
            raise Discard(
                f"{response.url} is larger than {max_bytes} bytes, counted after decompression"
            ) from None
        body = error.beginning
    except UndecodableError as error:
        if not cuts:
            raise Discard(f"{response.url}: {error}") from error
        body = b""
    return Fetched(str(response.url), response.status_code, dict(response.headers), body, redirects)


def _check_headers(response: httpx.Response) -> None:
    # httpcore has h2 let these through, which RFC 9113, 8.2.1, calls malformed.
    if any(_NEVER_IN_A_HEADER.search(value) for _, value in response.headers.raw):
        raise Discard(f"{response.url} answers what is not HTTP: a header with a NUL or a line break")


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    message = f"{response.url} answered {status} {response.reason_phrase}"
    if status in (429, 503) and (delay := retry_after(response.headers.get("retry-after"))) is not None:
        raise RetryLater(delay, message)
    if status >= 500 or status in _TEMPORARY:
        raise TemporaryFetchError(message)
    if status >= 400:
        raise PageRefusedError(message)
    if status >= 300 and status != HTTPStatus.NOT_MODIFIED:
        raise Discard(f"{message}, which is not a redirect that can be followed")


def retry_after(value: str | None) -> timedelta | None:
    """Read a Retry-After header (RFC 9110, 10.2.3), at most an hour.

    Return None if it is missing, malformed, or not in the future: then the task's own pauses are longer.
    """
    if value is None:
        return None
    try:
        wait = (
            timedelta(seconds=int(value))
            if value.strip().isdigit()
            else parsedate_to_datetime(value) - utc_now()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, LONGEST_RETRY_AFTER) if wait > timedelta(0) else None


def _client(settings: FetchSettings) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=_GuardedTransport(settings),
        trust_env=False,  # a proxy from the environment would connect without the check
        headers={"User-Agent": settings.user_agent, "Accept-Encoding": ACCEPTED},
        timeout=settings.timeout.total_seconds(),
    )


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport, whose connection pool opens its connections through the guard."""

    def __init__(self, settings: FetchSettings) -> None:
        super().__init__(verify=_tls_context())
        # httpx has no parameter for httpcore's network backend, and only the backend runs after the name is
        # resolved. A test fails if httpx stops opening its connections through this pool.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls_context(),
            http2=True,
            network_backend=GuardedBackend(settings),
        )


@cache
def _tls_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()

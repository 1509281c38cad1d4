"""Opens connections only to addresses that were checked (`jobyard/fetching/addresses.py`).

The check is made on the address of the connection itself, so it does not matter how a URL spells the address,
what a name resolves to the second time, or where a redirect leads.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import httpcore

from jobyard.fetching.addresses import Address, may_connect, refusal
from jobyard.fetching.settings import FetchSettings
from jobyard.jobs.errors import Discard, JobyardError


class NameNotResolvedError(JobyardError):
    """A host name has no address, at least now."""


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host in any spelling; raises `NameNotResolvedError`."""
    try:
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotResolvedError(f"{host} cannot be resolved: {error}") from error
    # A link-local address comes with its zone, which is no part of the address.
    return list(dict.fromkeys(ip_address(str(answer[4][0]).split("%")[0]) for answer in answers))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens httpcore's connections, only to addresses that were checked."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings, self._plain = settings, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Overridden so that the name is resolved once, every answer is checked, and one of them is used."""
        addresses = await resolve(host, port)
        for address in addresses:
            if not may_connect(address, port, self._settings.allow):
                raise Discard(refusal(host, address, self._settings))
        fault: Exception | None = None
        for address in addresses:
            try:
                return await self._plain.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Overridden so that no socket file of this machine is connected to."""
        raise Discard("nothing is fetched from a socket file")

    async def sleep(self, seconds: float) -> None:
        await self._plain.sleep(seconds)

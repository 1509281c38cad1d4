"""Which addresses may be connected to: public ones, and those that `JOBYARD_COLLECT__ALLOW` names.

The check is made on the address of the connection itself, so it does not matter how a URL writes it, what
a name resolves to the second time, or where a redirect leads.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore

from jobyard.jobs.errors import Discard, JobyardError
from jobyard.settings.allowed_networks import AllowedPlace

Address = IPv4Address | IPv6Address

# `is_global` of Python 3.11 says True for several of these (measured: 64:ff9b::/96, 2002::/16, fec0::/10,
# multicast), so they are named; the list follows the IANA special-purpose registries.
_REFUSED = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
        *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        # All of IPv6 but 2000::/3, from which every public address comes, and what is special in that.
        *("::/3", "4000::/2", "8000::/1"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)


class NameNotResolvedError(JobyardError):
    """A host name has no address, now at least."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public Internet."""
    refused = any(address in network for network in _REFUSED if network.version == address.version)
    return address.is_global and not refused


def may_connect(address: Address, port: int, allow: Iterable[AllowedPlace]) -> bool:
    """Tell whether a connection may be made: to a public address, or one that is allowed by name."""
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    return is_public(address) or any(place.covers(plain, port) for place in allow)


def literal_address(host: str) -> Address | None:
    """Return the address that a host name writes out, in any of the ways of inet_aton, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001 and 2130706433 are 127.0.0.1
    except OSError:
        return None


def refusal(host: str, address: Address) -> str:
    return (
        f"{host} is {address}, which is not a public address, so nothing is fetched from it; if it may be, "
        "name its network in JOBYARD_COLLECT__ALLOW"
    )


async def resolve(host: str, port: int) -> list[Address]:
    """Return a host's addresses, whichever way it is written; raises `NameNotResolvedError`."""
    try:
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotResolvedError(f"{host} cannot be resolved: {error}") from error
    # A link-local address comes with its zone, which is no part of the address.
    return list(dict.fromkeys(ip_address(str(answer[4][0]).split("%")[0]) for answer in answers))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, to addresses that were checked and to no others."""

    def __init__(self, allow: Sequence[AllowedPlace]) -> None:
        self._allow, self._plain = allow, httpcore.AnyIOBackend()

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
            if not may_connect(address, port, self._allow):
                raise Discard(refusal(host, address))
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
        """Overridden so that no file of this machine is ever connected to."""
        raise Discard("nothing is fetched from a socket file")

    async def sleep(self, seconds: float) -> None:
        await self._plain.sleep(seconds)

"""Decides which addresses may be connected to: public ones, and networks in ALLOW; opens no socket."""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from jobyard.fetching.allowed_networks import AllowedNetwork
from jobyard.fetching.settings import FetchSettings

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
        # All of IPv6 outside 2000::/3, which holds every public address, and special networks inside it.
        *("::/3", "4000::/2", "8000::/1"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public Internet."""
    is_refused = any(address in network for network in _REFUSED if network.version == address.version)
    return address.is_global and not is_refused


def may_connect(address: Address, port: int, allow: Iterable[AllowedNetwork]) -> bool:
    """Tell whether an address may be connected to: it is public, or in an allowed network."""
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    return is_public(address) or any(network.covers(plain, port) for network in allow)


def literal_address(host: str) -> Address | None:
    """Return the address that a host spells out, in any form that inet_aton reads, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001 and 2130706433 are 127.0.0.1
    except OSError:
        return None


def refusal(host: str, address: Address, settings: FetchSettings) -> str:
    """Return the error sentence for an address that may not be connected to."""
    return (
        f"{host} is {address}, which is not a public address, so nothing is fetched from it; to allow it, "
        f"name its network in {settings.environment_prefix}ALLOW"
    )

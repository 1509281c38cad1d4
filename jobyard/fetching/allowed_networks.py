"""Networks that are not public, and may be connected to: `10.1.0.0/16`, `127.0.0.1:8000`."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network


@dataclass(frozen=True)
class AllowedNetwork:
    """A network, and the one port that is allowed on it; None allows every port."""

    network: IPv4Network | IPv6Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "AllowedNetwork":
        """Read `NETWORK` or `NETWORK:PORT` (an IPv6 network with a port in brackets); raises `ValueError`."""
        try:
            return cls(ip_network(text, strict=False))
        except ValueError:
            network, _, port = text.rpartition(":")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(
                f"{text!r} is neither a network, like 10.1.0.0/16, nor one with a port, like 127.0.0.1:80"
            )
        return cls(ip_network(network.strip("[]"), strict=False), int(port))

    def covers(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        is_inside = address.version == self.network.version and address in self.network
        return is_inside and self.port in (None, port)

    def __str__(self) -> str:
        return str(self.network) if self.port is None else f"{self.network}:{self.port}"

"""The port of a process on this machine: whether it is free, and whether the process answers there."""

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """The address of a listening process, and the setting for its port."""

    name: str
    host: str
    port: int
    setting: str

    def is_taken(self) -> bool:
        """Tell whether another process listens on the port."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # The servers set this too: a port in TIME_WAIT after a stop counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError:
                return True
        return False

    def is_answering(self) -> bool:
        """Tell whether a connection is accepted."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False

"""A port that a process on this machine needs, and whether it is free."""

import socket
from dataclasses import dataclass
from time import monotonic, sleep


@dataclass(frozen=True)
class Listener:
    """A process that listens, and the setting that moves it elsewhere."""

    what: str
    host: str
    port: int
    setting: str

    def is_taken(self) -> bool:
        """Tell whether another process listens there."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the servers themselves do: a port that only lingers after a stop counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError:
                return True
        return False

    def answers(self) -> bool:
        """Tell whether a connection is accepted."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False

    def wait(self, seconds: float) -> bool:
        """Wait until a connection is accepted; tell whether that was in time."""
        deadline = monotonic() + seconds
        while not self.answers():
            if monotonic() > deadline:
                return False
            sleep(0.1)
        return True

"""The ports of a yard on one machine, and whether they are free."""

import socket
from dataclasses import dataclass
from time import monotonic, sleep

from jobyard.broker.broadcast import no_events
from jobyard.settings.settings import ENV_PREFIX, Settings


@dataclass(frozen=True)
class Listener:
    """A process of the yard that listens, and the setting that moves it elsewhere."""

    what: str
    host: str
    port: int
    setting: str

    def is_taken(self) -> bool:
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
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False

    def wait(self, seconds: float) -> bool:
        """Wait until somebody answers; tell whether that was in time."""
        deadline = monotonic() + seconds
        while not self.answers():
            if monotonic() > deadline:
                return False
            sleep(0.1)
        return True


def listeners(settings: Settings) -> list[Listener]:
    """Return what `make run` starts with these settings and what must be reachable."""
    local = "127.0.0.1"
    wanted = [
        Listener("the API", settings.api.host, settings.api.port, f"{ENV_PREFIX}API__PORT"),
    ]
    if no_events(settings.broker_url) is None:
        wanted.append(
            Listener("Flower", settings.flower.host, settings.flower.port, f"{ENV_PREFIX}FLOWER__PORT")
        )
    if settings.smtp.url is None:
        wanted.append(
            Listener("the mail catcher", local, settings.mailbox.port, f"{ENV_PREFIX}MAILBOX__PORT")
        )
    if needs_valkey(settings):
        wanted.append(valkey(settings))
    return wanted


def valkey(settings: Settings) -> Listener:
    return Listener("Valkey", "127.0.0.1", settings.valkey.port, f"{ENV_PREFIX}VALKEY__PORT")


def needs_valkey(settings: Settings) -> bool:
    """Tell whether anything uses the embedded Valkey."""
    return settings.embedded_redis_url in (settings.broker_url, settings.redis_url)

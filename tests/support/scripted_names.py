"""Name resolution as a test wants it, on a real event loop."""

import asyncio
import socket
from collections.abc import Coroutine, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, TypeVar

T = TypeVar("T")


class ScriptedLoop(asyncio.SelectorEventLoop):
    """Resolves names from a table; each further question about a name gets the next of its answers."""

    def __init__(self, names: Mapping[str, Sequence[Sequence[str]]]) -> None:
        super().__init__()
        self.names, self.asked = names, list[str]()

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """Overridden so that no name server is asked."""
        answers = self.names.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = answers[min(self.asked.count(host), len(answers) - 1)]
        self.asked.append(host)
        return [(_family(one), socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def run_with_names(loop: ScriptedLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on `loop`."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(coroutine)

"""A relay in front of a server, which can be cut as a network cable can."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Passes every connection to `port` on; after `cut`, none, and those that stood are gone."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._is_cut = False
        self._is_closing = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for end in self._pairs:
                with suppress(OSError):  # its other side has gone already
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._is_closing = True
        self._thread.join(10)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._is_closing:
                for key, _ in selector.select(0.1):
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listener:
                        self._accept(selector)
                    elif end in self._pairs:
                        self._pass_on(selector, end)
            for end in self._pairs:
                end.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        caller, _ = self._listener.accept()
        with self._lock:
            if self._is_cut:
                caller.close()
                return
            target = socket.create_connection(("127.0.0.1", self._target_port))
            self._pairs |= {caller: target, target: caller}
        for end in (caller, target):
            selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, selector: selectors.BaseSelector, end: socket.socket) -> None:
        try:
            data = end.recv(65_536)
            if data:
                self._pairs[end].sendall(data)
                return
        except OSError:
            pass
        with self._lock:
            other = self._pairs.pop(end)
            del self._pairs[other]
        for one in (end, other):
            selector.unregister(one)
            one.close()


@contextmanager
def relayed(target_port: int) -> Iterator[Relay]:
    relay = Relay(target_port)
    try:
        yield relay
    finally:
        relay.close()

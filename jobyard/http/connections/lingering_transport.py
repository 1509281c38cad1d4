"""A transport that is closed only when its client has sent what it was sending.

Who closes a socket with unread data in it makes the kernel reset the connection, and the client, which is
still sending, loses the answer that says why.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class LingeringTransport:
    """asyncio's transport of one connection, with another `close`; it has all that uvicorn uses."""

    def __init__(
        self, transport: asyncio.Transport, is_receiving: Callable[[], bool], on_close: Callable[[], None]
    ) -> None:
        self._transport, self._is_receiving, self._on_close = transport, is_receiving, on_close
        self._is_lingering = False
        self.write = transport.write
        self.abort = transport.abort
        self.get_write_buffer_size = transport.get_write_buffer_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Tell whether no more answers can be written."""
        return self._is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Close the connection; while a request is still being received, only its way to the client.

        The second call closes it in any case.
        """
        if self._is_lingering or not self._is_receiving() or not self._transport.can_write_eof():
            self._on_close()
            self._transport.close()
        elif not self._transport.is_closing():
            self._is_lingering = True
            self._on_close()
            self._transport.write_eof()
            self._transport.resume_reading()

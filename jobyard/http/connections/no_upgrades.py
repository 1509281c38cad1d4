"""uvicorn's HTTP/1.1 protocol without upgrades: a request for one is answered as if it had not asked."""

import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class NoUpgradesProtocol(HttpToolsProtocol):
    """One connection that stays HTTP/1.1 (RFC 9110, 7.8)."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._data = self._put_back = b""

    def data_received(self, data: bytes) -> None:
        """Overridden to keep the data for `handle_websocket_upgrade`, and to read what that puts back."""
        self._put_back = data
        while self._put_back:
            self._data, self._put_back = self._put_back, b""
            super().data_received(self._data)

    def _should_upgrade(self) -> bool:
        """Overridden because no upgrade is supported, and a server ignores such (RFC 9110, 7.8)."""
        # The parser also takes a CONNECT for an upgrade, and uvicorn answers it.
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def handle_websocket_upgrade(self) -> None:
        """Overridden to put a request back without the upgrade at which the parser has stopped."""
        stop = sys.exc_info()[1]
        assert isinstance(stop, httptools.HttpParserUpgrade)
        rest = self._data[stop.args[0] :]
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(part for part in value.split(b",") if part.strip().lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._put_back = b"\r\n".join([*lines, b"", rest])

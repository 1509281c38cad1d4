"""Checks that the installed uvicorn still has the names that the fast lane overrides or relies on.

These names are not public, so a new uvicorn may rename them. Then uvicorn handles every request: slower, but
correctly. `tests/unit/jobyard/http/fast_lane/test_protocol.py` tests a real server byte by byte.
"""

from typing import Any, Final, Literal

import structlog
from uvicorn.protocols.http import httptools_impl

log = structlog.get_logger()

METHODS: Final = (
    *("on_message_begin", "on_headers_complete", "on_body", "on_message_complete"),  # overridden
    *("data_received", "_should_upgrade", "handle_websocket_upgrade", "send_400_response"),  # overridden
    *("on_response_complete", "connection_made", "connection_lost", "eof_received"),  # overridden
    *("_start_asgi_task", "shutdown"),  # called, or relied on
)
ATTRIBUTES: Final = (
    *("client", "cycle", "expect_100_continue", "flow", "headers", "logger", "loop", "parser", "pipeline"),
    *("root_path", "limit_concurrency", "scheme", "server_state", "transport"),
)


def http_protocol() -> "str | Literal['auto']":
    """Return the value for uvicorn's option `http`."""
    if missing := missing_names(httptools_impl):
        log.warning("no fast lane and no bounds of connections", uvicorn_lacks=", ".join(missing))
        return "auto"
    return "jobyard.http.fast_lane.protocol:FastLaneProtocol"


def missing_names(module: Any) -> list[str]:
    """Return which of the names the module lacks."""
    protocol = getattr(module, "HttpToolsProtocol", None)
    if protocol is None or not hasattr(module, "STATUS_LINE"):
        return [name for name in ("HttpToolsProtocol", "STATUS_LINE") if not hasattr(module, name)]
    assigned = set(protocol.__init__.__code__.co_names)
    return [name for name in METHODS if not hasattr(protocol, name)] + [
        name for name in ATTRIBUTES if name not in assigned
    ]

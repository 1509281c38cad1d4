"""Servers for one test each."""

from tests.support.web_servers import server

__all__ = ["server"]

"""Servers for one test each."""

from tests.support.web_servers import saying, server

__all__ = ["saying", "server"]

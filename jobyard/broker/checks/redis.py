"""Checks whether a Redis accepts the user, the password and the database of a URL."""

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from jobyard.broker.checks.connection import connection_fault
from jobyard.broker.checks.fault import Fault, answer, away, host_and_port, wrong
from jobyard.broker.checks.wrong_server import REDIS, WantedServer
from jobyard.broker.redis.client import open_redis

PORT: Final = 6379
ENCODED: Final = "special characters are percent-encoded, @ as %40, / as %2F, # as %23"


def redis_fault(url: str, timeout_seconds: float) -> Fault | None:
    """Return what is wrong with the Redis of a URL, or None."""
    wanted = WantedServer(REDIS, *host_and_port(url, PORT), has_tls=urlsplit(url).scheme == "rediss")
    try:
        with open_redis(url, timedelta(seconds=timeout_seconds)) as client:
            client.ping()
    except NoPermissionError:
        return None  # the login is right, and PING is not allowed
    except AuthenticationError as error:
        return _login_refused(error, wanted, url)
    except BusyLoadingError as error:
        return away(f"Redis at {wanted.address} is not ready yet ({answer(error, url)})")
    except ResponseError as error:
        return _refused(error, wanted, url)
    except (RedisError, OSError) as error:
        return connection_fault(error, wanted)
    return None


def _login_refused(error: AuthenticationError, wanted: WantedServer, url: str) -> Fault:
    if not urlsplit(url).password:
        return wrong(
            f"Redis at {wanted.address} wants a password: write redis://:PASSWORD@host, where {ENCODED}"
        )
    return wrong(
        f"Redis at {wanted.address} refuses the user or the password ({answer(error, url)}): "
        f"mend them in the URL, where {ENCODED}"
    )


def _refused(error: ResponseError, wanted: WantedServer, url: str) -> Fault:
    reason = answer(error, url)
    if "DB index" in reason:
        number = urlsplit(url).path.strip("/")
        return wrong(
            f"Redis at {wanted.address} has no database {number} ({reason}): "
            "mend the number at the end of the URL; by default there are 16 databases, from 0"
        )
    return away(f"Redis at {wanted.address} answers: {reason}")

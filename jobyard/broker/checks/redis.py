"""Asks a Redis whether it takes the user, the password and the database of a URL."""

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
from jobyard.broker.checks.fault import Fault, answer, away, place, wrong
from jobyard.broker.checks.wrong_server import REDIS, Wanted
from jobyard.broker.redis.client import open_redis

PORT: Final = 6379
ENCODED: Final = "special characters are percent-encoded, @ as %40, / as %2F, # as %23"


def redis_fault(url: str, patience: float) -> Fault | None:
    """Return what is the matter with the Redis of a URL, or None where it answers as it should."""
    wanted = Wanted(REDIS, *place(url, PORT), has_tls=urlsplit(url).scheme == "rediss")
    try:
        with open_redis(url, timedelta(seconds=patience)) as client:
            client.ping()
    except NoPermissionError:
        return None  # a user that is known, and may not ask this
    except AuthenticationError as error:
        return _login_refused(error, wanted, url)
    except BusyLoadingError as error:
        return away(f"Redis at {wanted.at} is not ready yet ({answer(error, url)})")
    except ResponseError as error:
        return _refused(error, wanted, url)
    except (RedisError, OSError) as error:
        return connection_fault(error, wanted)
    return None


def _login_refused(error: AuthenticationError, wanted: Wanted, url: str) -> Fault:
    if not urlsplit(url).password:
        return wrong(f"Redis at {wanted.at} wants a password: write redis://:PASSWORD@host, where {ENCODED}")
    return wrong(
        f"Redis at {wanted.at} refuses the user or the password ({answer(error, url)}): "
        f"mend them in the URL, where {ENCODED}"
    )


def _refused(error: ResponseError, wanted: Wanted, url: str) -> Fault:
    said = answer(error, url)
    if "DB index" in said:
        number = urlsplit(url).path.strip("/")
        return wrong(
            f"Redis at {wanted.at} has no database {number} ({said}): "
            "mend the number at the end of the URL; there are 16 of them, from 0, unless it is told otherwise"
        )
    return away(f"Redis at {wanted.at} answers: {said}")

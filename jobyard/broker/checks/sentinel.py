"""Checks that the Sentinels of a URL name a master, and that it accepts the user and the password."""

from datetime import timedelta

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.sentinel import MasterNotFoundError

from jobyard.broker.checks.fault import Fault, answer, away, wrong
from jobyard.broker.checks.redis import ENCODED
from jobyard.broker.redis.client import open_redis
from jobyard.settings.urls.redis import parse_redis_url


def sentinels_fault(url: str, timeout_seconds: float) -> Fault | None:
    """Return what is wrong with the Sentinels of a URL or with their master, or None."""
    address = parse_redis_url(url)
    sentinels = ", ".join(f"{host}:{port}" for host, port in address.hosts)
    try:
        with open_redis(url, timedelta(seconds=timeout_seconds)) as client:
            client.ping()
    except NoPermissionError:
        return None  # the login is right, and PING is not allowed
    except MasterNotFoundError:
        return away(
            f"no Sentinel at {sentinels} names a master {address.master!r} now: they are not there, know it "
            "by another name, or refuse sentinel_user and sentinel_password"
        )
    except AuthenticationError as error:
        return wrong(
            f"the master that the Sentinels at {sentinels} name refuses the user or the password "
            f"({answer(error, url)}): mend them in the URL, where {ENCODED}"
        )
    except ResponseError as error:
        reason = answer(error, url)
        if "unknown command" in reason and "SENTINEL" in reason.upper():
            return wrong(
                f"the Redis at {sentinels} is not a Sentinel: write redis://, or name a Sentinel's port"
            )
        return away(f"the Sentinels at {sentinels}, or their master, answer: {reason}")
    except (RedisError, OSError) as error:
        return away(
            f"the master that the Sentinels at {sentinels} name does not answer ({answer(error, url)})"
        )
    return None

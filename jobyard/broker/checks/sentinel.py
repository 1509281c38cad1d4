"""Asks the Sentinels of a URL for their master, and the master whether it takes the user and the password."""

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


def sentinels_fault(url: str, patience: float) -> Fault | None:
    """Return what is the matter with the Sentinels of a URL or with their master, or None."""
    place = parse_redis_url(url)
    at = ", ".join(f"{host}:{port}" for host, port in place.hosts)
    try:
        with open_redis(url, timedelta(seconds=patience)) as client:
            client.ping()
    except NoPermissionError:
        return None  # a user that is known, and may not ask this
    except MasterNotFoundError:
        return away(
            f"no Sentinel at {at} names a master {place.master!r} now: they are not there, know it by "
            "another name, or refuse sentinel_user and sentinel_password"
        )
    except AuthenticationError as error:
        return wrong(
            f"the master that the Sentinels at {at} name refuses the user or the password "
            f"({answer(error, url)}): mend them in the URL, where {ENCODED}"
        )
    except ResponseError as error:
        said = answer(error, url)
        if "unknown command" in said and "SENTINEL" in said.upper():
            return wrong(f"at {at} a Redis answers that is no Sentinel: write redis://, or name its port")
        return away(f"the Sentinels at {at}, or their master, answer: {said}")
    except (RedisError, OSError) as error:
        return away(f"the master that the Sentinels at {at} name does not answer ({answer(error, url)})")
    return None

"""One request at a time to each host, with a pause between two, for all workers together.

Jobs reserve their request times in Redis. If it cannot be reached, each process keeps request times of its
own, so that pages are still collected, less politely.
"""

import asyncio
from datetime import timedelta

import structlog
from redis.exceptions import RedisError

from jobyard import RetryLater
from jobyard.broker.redis.client import async_redis
from jobyard.jobs.clock import monotonic
from jobyard.settings import get_settings

log = structlog.get_logger()

# A job does not wait longer than this in the worker: it is put off and keeps its reserved time.
LONGEST_SLEEP = timedelta(seconds=2)
PATIENCE = timedelta(seconds=2)  # for an answer of Redis

# KEYS: the host's next free time, this job's reserved time. ARGV: pause, longest sleep (milliseconds).
# Returns how many milliseconds are left until this job's time.
_RESERVE_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pause, longest_sleep = tonumber(ARGV[1]), tonumber(ARGV[2])
local booked = tonumber(redis.call('GET', KEYS[2]))
if booked then
  if booked - now <= longest_sleep then redis.call('DEL', KEYS[2]) end
  return math.max(0, booked - now)
end
local reserved = math.max(now, tonumber(redis.call('GET', KEYS[1])) or 0)
redis.call('SET', KEYS[1], reserved + pause, 'PX', reserved + pause - now + 1000)
if reserved - now > longest_sleep then
  redis.call('SET', KEYS[2], reserved, 'PX', reserved - now + 600000)
end
return reserved - now
"""

_own_next_times: dict[str, float] = {}


async def wait_for_host(host: str, job_id: str, pause: timedelta) -> None:
    """Wait until this job may request a host; raises an uncounted `RetryLater` where that takes too long."""
    try:
        wait = await _reserve(host, job_id, pause)
    except (RedisError, OSError) as error:
        log.warning("request times are kept by this process alone", host=host, reason=repr(error))
        wait = _reserve_locally(host, pause)
    if wait > LONGEST_SLEEP:
        raise RetryLater(wait, f"other jobs ask {host} first", counts=False)
    await asyncio.sleep(wait.total_seconds())


async def _reserve(host: str, job_id: str, pause: timedelta) -> timedelta:
    host_key = f"{get_settings().key_prefix}turn:{host}"
    keys = [host_key, f"{host_key}:{job_id}"]
    milliseconds = [int(duration.total_seconds() * 1000) for duration in (pause, LONGEST_SLEEP)]
    async with async_redis(get_settings().redis_url, PATIENCE) as redis:
        left = await redis.eval(_RESERVE_SCRIPT, len(keys), *keys, *milliseconds)
    return timedelta(milliseconds=int(left))


def _reserve_locally(host: str, pause: timedelta) -> timedelta:
    now = monotonic()
    for other, next_time in list(_own_next_times.items()):
        if next_time <= now:
            del _own_next_times[other]
    reserved = max(now, _own_next_times.get(host, 0.0))
    _own_next_times[host] = reserved + pause.total_seconds()
    return timedelta(seconds=reserved - now)

"""One request at a time to each host, and a pause between two, for all workers together.

Turns are booked in Redis. Where that is out of reach each process keeps its own turns, so that pages are
still collected, less politely.
"""

import asyncio
from datetime import timedelta
from functools import cache

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobyard import RetryLater
from jobyard.broker.redis.client import open_async_redis
from jobyard.jobs.clock import monotonic
from jobyard.settings import get_settings

log = structlog.get_logger()

# A turn that is further away is not waited for in the worker: the job is put off and keeps its turn.
LONGEST_SLEEP = timedelta(seconds=2)
PATIENCE = timedelta(seconds=2)

# KEYS: the host's next free turn, this job's booked turn. ARGV: pause, longest sleep (milliseconds).
# Returns how many milliseconds are left until this job's turn.
_BOOK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pause, longest_sleep = tonumber(ARGV[1]), tonumber(ARGV[2])
local booked = tonumber(redis.call('GET', KEYS[2]))
if booked then
  if booked - now <= longest_sleep then redis.call('DEL', KEYS[2]) end
  return math.max(0, booked - now)
end
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1])) or 0)
redis.call('SET', KEYS[1], turn + pause, 'PX', turn + pause - now + 1000)
if turn - now > longest_sleep then
  redis.call('SET', KEYS[2], turn, 'PX', turn - now + 600000)
end
return turn - now
"""

_own_turns: dict[str, float] = {}


async def wait_for_turn(host: str, job_id: str, pause: timedelta) -> None:
    """Wait for this job's turn at a host; where it is far away raise `RetryLater`, at no attempt's cost."""
    try:
        wait = await _book(host, job_id, pause)
    except (RedisError, OSError) as error:
        log.warning("turns are kept by this process alone", host=host, reason=repr(error))
        wait = _book_here(host, pause)
    if wait > LONGEST_SLEEP:
        raise RetryLater(wait, f"other jobs ask {host} first", counts=False)
    await asyncio.sleep(wait.total_seconds())


async def _book(host: str, job_id: str, pause: timedelta) -> timedelta:
    turn = f"{get_settings().key_prefix}turn:{host}"
    keys = [turn, f"{turn}:{job_id}"]
    milliseconds = [int(span.total_seconds() * 1000) for span in (pause, LONGEST_SLEEP)]
    left = await _redis().eval(_BOOK, len(keys), *keys, *milliseconds)
    return timedelta(milliseconds=int(left))


def _book_here(host: str, pause: timedelta) -> timedelta:
    now = monotonic()
    turn = max(now, _own_turns.get(host, 0.0))
    _own_turns[host] = turn + pause.total_seconds()
    return timedelta(seconds=turn - now)


@cache
def _client(_: asyncio.AbstractEventLoop) -> Redis:
    return open_async_redis(get_settings().redis_url, PATIENCE)


def _redis() -> Redis:
    return _client(asyncio.get_running_loop())  # a connection belongs to the loop that opened it

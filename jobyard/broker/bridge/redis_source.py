"""Stock Celery's queues on Redis: takes messages out of kombu's lists without a moment in which one is lost.

A script moves messages from the lists into one list of ours, where they stay until their jobs are committed.
What a killed bridge leaves there is taken first by the next one; a job is accepted once for each message, so
messages that two bridges have taken do no harm. A lock that expires keeps a second bridge from doing the
same work at the same time.
"""

import json
from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from redis import Redis

from jobyard.broker.bridge.source import MOST_BYTES, MOST_MESSAGES, Delivery
from jobyard.broker.redis.client import open_redis

# kombu's list for a priority above 0 is called `queue`, these two characters, and the step of the priority.
SEPARATOR: Final = "\x06\x16"
# Every step that `priority_steps` may hold; kombu's default is 0, 3, 6 and 9.
STEPS: Final = range(1, 10)
# After this time another bridge takes the place of one that was killed.
LOCK_MILLISECONDS: Final = 5000

_TAKE: Final = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[3] then return {} end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
local taken, bytes = {}, 0
local function has_room() return #taken < tonumber(ARGV[1]) and bytes < tonumber(ARGV[2]) end
local function add(message) taken[#taken + 1] = message; bytes = bytes + #message end
for left = 1, redis.call('LLEN', KEYS[1]) do
  if not has_room() then break end
  add(redis.call('LINDEX', KEYS[1], -left))
end
for list = 3, #KEYS do
  while has_room() do
    local message = redis.call('RPOPLPUSH', KEYS[list], KEYS[1])
    if not message then break end
    add(message)
  end
end
return taken
"""


class RedisSource:
    """The lists of some queues, the most urgent priority first."""

    is_zero_first = True

    def __init__(self, url: str, timeout: timedelta, queues: Sequence[str], key_prefix: str) -> None:
        self._url, self._timeout = url, timeout
        self.taken_key, self._lock_key = f"{key_prefix}bridge:taken", f"{key_prefix}bridge:lock"
        steps = ("", *(f"{SEPARATOR}{step}" for step in STEPS))
        lists = [f"{queue}{step}" for step in steps for queue in queues]
        self._keys = [self.taken_key, self._lock_key, *lists]
        self._token = str(uuid4())
        self._client: Redis | None = None

    def take(self) -> Sequence[Delivery]:
        client: Any = self._client or open_redis(self._url, self._timeout)
        self._client = client
        arguments = [MOST_MESSAGES, MOST_BYTES, self._token, LOCK_MILLISECONDS]
        entries = client.eval(_TAKE, len(self._keys), *self._keys, *arguments)
        return [_read(entry) for entry in entries]

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        assert self._client is not None
        for delivery in deliveries:
            self._client.lrem(self.taken_key, -1, delivery.handle)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _read(entry: bytes) -> Delivery:
    try:
        message = json.loads(entry)
        properties = message["properties"]
        encoded = message["body"]
        is_base64 = properties.get("body_encoding") == "base64"
        return Delivery(
            handle=entry,
            queue=str((properties.get("delivery_info") or {}).get("routing_key") or ""),
            body=b64decode(encoded, validate=True) if is_base64 else encoded.encode(),
            content_type=message.get("content-type"),
            content_encoding=message.get("content-encoding"),
            headers=dict(message.get("headers") or {}),
            priority=properties.get("priority"),
        )
    except Exception as error:  # an entry may hold anything, and need not be a message
        return Delivery(handle=entry, unreadable=f"{type(error).__name__}: {error}"[:200])

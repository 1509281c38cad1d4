"""robots.txt (RFC 9309): fetched once per hour and origin in each process, through the same guard."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import httpx
import structlog

from config.settings import CollectSettings
from jobyard import Discard
from jobyard.fetching.errors import PageRefusedError, TemporaryFetchError
from jobyard.fetching.fetch import fetch
from jobyard.jobs.clock import monotonic
from tasks.collect.limits import make_storable
from tasks.collect.outlines import TangledError, outline

log = structlog.get_logger()

MAX_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB
CACHED_FOR = timedelta(hours=1)
LONGEST_CRAWL_DELAY = timedelta(seconds=30)
MAX_CACHED_ORIGINS = 1000
MAX_CACHED = 32 * 1024**2  # characters, of all origins


@dataclass(frozen=True)
class _CachedRobots:
    text: str
    expires_at: float


_cache: dict[str, _CachedRobots] = {}


async def crawl_delay(url: httpx.URL, settings: CollectSettings) -> timedelta:
    """Return the pause between two requests; raises `Discard` where robots.txt forbids the page.

    Raises `TemporaryFetchError` while the file cannot be fetched: RFC 9309 treats that as a refusal.
    """
    origin = f"{url.scheme}://{url.netloc.decode()}"
    text = await _text(origin, settings)
    if not text:
        return settings.host_interval
    try:
        content = f"{settings.user_agent}\n{text}"
        rules = await asyncio.to_thread(outline, "robots", content, str(url))
    except TangledError as error:
        log.warning("robots.txt is not obeyed", origin=origin, reason=str(error))
        _keep(origin, "")
        return settings.host_interval
    if not rules["allowed"]:
        raise Discard(
            f"{origin}/robots.txt does not let {settings.user_agent!r} fetch {url}; "
            "respect_robots=false fetches it anyway"
        )
    delay = min(rules["delay"] or 0, LONGEST_CRAWL_DELAY.total_seconds())
    return max(timedelta(seconds=delay), settings.host_interval)


def clear_cache() -> None:
    """Forget the rules of every origin."""
    _cache.clear()


async def _text(origin: str, settings: CollectSettings) -> str:
    cached = _cache.get(origin)
    if cached is None or cached.expires_at < monotonic():
        return _keep(origin, make_storable(await _fetch_text(origin, settings)))
    return cached.text


def _keep(origin: str, text: str) -> str:
    if len(_cache) >= MAX_CACHED_ORIGINS or sum(len(kept.text) for kept in _cache.values()) > MAX_CACHED:
        _cache.clear()
    _cache[origin] = _CachedRobots(text, monotonic() + CACHED_FOR.total_seconds())
    return text


async def _fetch_text(origin: str, settings: CollectSettings) -> str:
    try:
        fetched = await fetch(f"{origin}/robots.txt", settings, max_bytes=MAX_BYTES, cuts=True)
    except PageRefusedError:
        return ""  # a 4xx answer: the server has no rules (RFC 9309, 2.3.1.3)
    except TemporaryFetchError as error:
        raise TemporaryFetchError(f"robots.txt first: {error}") from error
    # Protego would read a byte order mark as part of the first line, and lose the first group of rules.
    return fetched.body.decode("utf-8-sig", errors="replace")

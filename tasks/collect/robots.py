"""robots.txt (RFC 9309): fetched once per hour and origin in each process, through the same guard."""

from dataclasses import dataclass
from datetime import timedelta

import httpx
from protego import Protego

from config.settings import CollectSettings
from jobyard import Discard
from jobyard.fetching.errors import PageRefusedError, TemporaryFetchError
from jobyard.fetching.fetch import fetch
from jobyard.jobs.clock import monotonic

MAX_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB
CACHED_FOR = timedelta(hours=1)
LONGEST_CRAWL_DELAY = timedelta(seconds=30)
MAX_CACHED_ORIGINS = 1000


@dataclass(frozen=True)
class _CachedRules:
    rules: Protego
    expires_at: float


_cache: dict[str, _CachedRules] = {}


async def crawl_delay(url: httpx.URL, settings: CollectSettings) -> timedelta:
    """Return the pause between two requests; raises `Discard` where robots.txt forbids the page.

    Raises `TemporaryFetchError` while the file cannot be fetched: RFC 9309 treats that as a refusal.
    """
    origin = f"{url.scheme}://{url.netloc.decode()}"
    rules = await _rules(origin, settings)
    if not rules.can_fetch(str(url), settings.user_agent):
        raise Discard(
            f"{origin}/robots.txt does not let {settings.user_agent!r} fetch {url}; "
            "respect_robots=false fetches it anyway"
        )
    delay = min(rules.crawl_delay(settings.user_agent) or 0, LONGEST_CRAWL_DELAY.total_seconds())
    return max(timedelta(seconds=delay), settings.host_interval)


def clear_cache() -> None:
    """Forget the rules of every origin."""
    _cache.clear()


async def _rules(origin: str, settings: CollectSettings) -> Protego:
    cached = _cache.get(origin)
    if cached is None or cached.expires_at < monotonic():
        if len(_cache) >= MAX_CACHED_ORIGINS:
            _cache.clear()
        rules = Protego.parse(await _fetch_text(origin, settings))
        cached = _cache[origin] = _CachedRules(rules, monotonic() + CACHED_FOR.total_seconds())
    return cached.rules


async def _fetch_text(origin: str, settings: CollectSettings) -> str:
    try:
        fetched = await fetch(f"{origin}/robots.txt", settings, max_bytes=MAX_BYTES)
    except PageRefusedError:
        return ""  # a 4xx answer: the server has no rules (RFC 9309, 2.3.1.3)
    except TemporaryFetchError as error:
        raise TemporaryFetchError(f"robots.txt first: {error}") from error
    # Protego would read a byte order mark as part of the first line, and lose the first group of rules.
    return fetched.body.decode("utf-8-sig", errors="replace")

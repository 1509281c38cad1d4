"""robots.txt (RFC 9309): asked for once an hour and origin in each process, through the same guard."""

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
KEPT_FOR = timedelta(hours=1)
LONGEST_CRAWL_DELAY = timedelta(seconds=30)
MOST_KEPT = 1000


@dataclass(frozen=True)
class _Kept:
    rules: Protego
    until: float


_kept: dict[str, _Kept] = {}


async def crawl_delay(url: httpx.URL, settings: CollectSettings) -> timedelta:
    """Return how long to leave between requests, or raise `Discard` where the page is not for robots.

    Raises `TemporaryFetchError` while the file cannot be had: RFC 9309 takes that for a no.
    """
    origin = f"{url.scheme}://{url.netloc.decode()}"
    rules = await _rules(origin, settings)
    if not rules.can_fetch(str(url), settings.user_agent):
        raise Discard(
            f"{origin}/robots.txt does not let {settings.user_agent!r} fetch {url}; "
            "respect_robots=false fetches it all the same"
        )
    wanted = min(rules.crawl_delay(settings.user_agent) or 0, LONGEST_CRAWL_DELAY.total_seconds())
    return max(timedelta(seconds=wanted), settings.host_interval)


def forget() -> None:
    """Ask every origin anew."""
    _kept.clear()


async def _rules(origin: str, settings: CollectSettings) -> Protego:
    kept = _kept.get(origin)
    if kept is None or kept.until < monotonic():
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        kept = _Kept(Protego.parse(await _text(origin, settings)), monotonic() + KEPT_FOR.total_seconds())
        _kept[origin] = kept
    return kept.rules


async def _text(origin: str, settings: CollectSettings) -> str:
    try:
        fetched = await fetch(f"{origin}/robots.txt", settings, max_bytes=MAX_BYTES)
    except PageRefusedError:
        return ""  # a 4xx answer: the server has no rules (RFC 9309, 2.3.1.3)
    except TemporaryFetchError as error:
        raise TemporaryFetchError(f"robots.txt first: {error}") from error
    # Protego would take a byte order mark for part of the first line, and lose the first group of rules.
    return fetched.body.decode("utf-8-sig", errors="replace")

"""`page.collect`: fetches a page, stores it as a file, and parses its content."""

from jobyard import task
from jobyard.fetching.errors import TemporaryFetchError
from tasks.collect.payload import Collect, Collected


@task(
    "page.collect",
    queue="collect",
    autoretry_for=(TemporaryFetchError,),
    max_retries=13,  # half an hour on average, an hour at most: a resolver or a server may be away
    retry_backoff=2,
    retry_backoff_max=600,
    time_limit=90,
)
async def collect_page(payload: Collect) -> Collected:
    """Fetch a page: public addresses only, robots.txt respected, one request at a time to each host."""
    # Imported here, so that only workers that collect pages load httpx and the parsers.
    from tasks.collect.collect import collect

    return await collect(payload)

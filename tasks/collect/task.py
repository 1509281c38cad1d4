"""`page.collect`: fetches a page, keeps it as a file, and reads what it says."""

from jobyard import task
from jobyard.fetching.errors import TemporaryFetchError
from tasks.collect.payload import Collect, Collected


@task(
    "page.collect",
    queue="collect",
    autoretry_for=(TemporaryFetchError,),
    max_retries=4,
    retry_backoff=2,
    retry_backoff_max=600,
    time_limit=90,
)
async def collect_page(order: Collect) -> Collected:
    """Fetch a page: public addresses only, robots.txt respected, one request at a time to each host."""
    # Here, so that httpx and the parsers are loaded by workers that collect, and by no other process.
    from tasks.collect.collect import collect

    return await collect(order)

"""The URL of a page, as it stands in a payload."""

from typing import Annotated

from pydantic import AfterValidator, Field

from config.settings import CollectSettings
from jobyard import get_section


def _page_url(text: str) -> str:
    # What is plain from the URL itself is said at once; names are judged when they are connected to.
    # Here, so that a process loads httpx only once it is given a URL.
    from jobyard.fetching.addresses import literal_address, may_connect, refusal
    from jobyard.fetching.urls import checked_url

    url = checked_url(text)
    address = literal_address(url.host)
    port = url.port or (443 if url.scheme == "https" else 80)
    settings = get_section(CollectSettings)
    if address is not None and not may_connect(address, port, settings.allow):
        raise ValueError(refusal(url.host, address, settings))
    return text


PageUrl = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_page_url)]

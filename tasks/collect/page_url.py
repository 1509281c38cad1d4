"""The type of a page's URL in a payload."""

from typing import Annotated

from pydantic import AfterValidator, Field

from config.settings import CollectSettings
from jobyard import get_section


def _page_url(text: str) -> str:
    # A literal address is checked at once, and a name when the fetch connects to it.
    # Imported here, so that a process loads httpx only once it gets a URL.
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

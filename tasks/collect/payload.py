"""The payload and the result of `page.collect`."""

from typing import Annotated

from pydantic import ConfigDict, Field

from jobyard import Payload
from tasks.collect.documents import Kind, Parsed
from tasks.collect.page_url import PageUrl

HeaderValue = Annotated[str, Field(max_length=500, pattern=r"^[\x20-\x7e]*$")]


class Collect(Payload):
    """A page to fetch, and how to parse it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://example.org/"}]})

    url: PageUrl
    kind: Kind = Kind.AUTO
    respect_robots: bool = True
    etag: HeaderValue | None = Field(
        None, description="The ETag of the last fetch: an unchanged page is not sent again."
    )
    last_modified: HeaderValue | None = Field(
        None, description="The Last-Modified of the last fetch, as the server wrote it."
    )


class Collected(Payload):
    """The fetched page: `file` holds the whole body, and `parsed` the content that fits a result."""

    url: str
    status: int
    redirects: tuple[str, ...]
    not_modified: bool
    kind: Kind
    media_type: str
    etag: str | None
    last_modified: str | None
    size: int
    file: str | None
    parsed: Parsed | None

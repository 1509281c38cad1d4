"""What to fetch and how to read it, as a payload; and what came of it."""

from typing import Annotated

from pydantic import ConfigDict, Field

from jobyard import Payload
from tasks.collect.documents import Kind, Parsed
from tasks.collect.page_url import PageUrl

HeaderValue = Annotated[str, Field(max_length=500, pattern=r"^[\x20-\x7e]*$")]


class Collect(Payload):
    """What to fetch, and how to read it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://example.org/"}]})

    url: PageUrl
    kind: Kind = Kind.AUTO
    respect_robots: bool = True
    etag: HeaderValue | None = Field(
        None, description="Of the last time: an unchanged page is not sent again."
    )
    last_modified: HeaderValue | None = Field(None, description="Of the last time, as the server wrote it.")


class Collected(Payload):
    """The page as it came: `file` holds the whole body, `parsed` what fits of its content."""

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

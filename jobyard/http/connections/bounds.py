"""What one connection may cost, in bytes and seconds, and what is answered beyond that."""

from http import HTTPStatus
from typing import Final

from jobyard.http.errors import RETRY_AFTER_SECONDS, Problem

HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 10
# A body may take so long, and a second more for each 16 KiB of it that has come.
BODY_SECONDS: Final = 30
BODY_BYTES_PER_SECOND: Final = 16 * 1024
# Longer than load balancers keep a connection that they do not use, so that it is they who close it.
IDLE_SECONDS: Final = 75
# How long a client that is still sending is listened to after its last answer, and while it is silent.
LINGER_SECONDS: Final = 30
LINGER_SILENT_SECONDS: Final = 5
# A client that takes nothing of its answer for so long is gone.
UNREAD_SECONDS: Final = 60

TOO_MANY_CONNECTIONS: Final = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many requests are being answered at this moment: try again",
    kind="too-many-connections",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)
TOO_MANY_BODIES: Final = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many large bodies are being received at this moment: try again",
    kind="too-many-bodies",
    field="body",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)
HEAD_TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"the request's line and headers are larger than {HEAD_BYTES} bytes: send large data in the body",
    kind="head-too-large",
)
HEAD_TOO_SLOW: Final = Problem(
    HTTPStatus.REQUEST_TIMEOUT,
    f"the request's headers were not complete after {HEAD_SECONDS} s: send the request again",
    kind="too-slow",
)
BODY_TOO_SLOW: Final = Problem(
    HTTPStatus.REQUEST_TIMEOUT,
    f"the body came too slowly: it may take {BODY_SECONDS} s, and a second more for each "
    f"{BODY_BYTES_PER_SECOND} bytes, but not pause for {BODY_SECONDS} s; send the request again",
    kind="too-slow",
    field="body",
)
NOT_HTTP: Final = Problem(HTTPStatus.BAD_REQUEST, "this is not a valid HTTP/1.1 request", kind="invalid-http")

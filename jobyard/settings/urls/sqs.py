"""Parses an SQS URL: `sqs://KEY:SECRET@?region=eu-central-1&endpoint=http://127.0.0.1:5000&prefix=shop-`.

Only the region is required. Without a key, boto3 finds the credentials where AWS's own tools find them (the
environment, a profile, the role of the machine or the container).
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

EXAMPLE: Final = "sqs://?region=eu-central-1"
DEFAULT_PREFIX: Final = "jobyard-"
OPTIONS: Final = ("region", "endpoint", "prefix")
# SQS allows 80 characters for a queue's name, and our names follow the prefix.
PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{0,60}")
REGION: Final = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True)
class SqsAddress:
    """The location of the queues, and the credentials for them."""

    region: str
    endpoint: str | None  # None: AWS's own for the region
    prefix: str
    key: str | None
    secret: str | None

    @property
    def kombu_url(self) -> str:
        """The URL for kombu, in which the endpoint takes the place of the host."""
        credentials = f"{quote(self.key or '', '')}:{quote(self.secret or '', '')}@" if self.key else ""
        return f"sqs://{credentials}{urlsplit(self.endpoint).netloc if self.endpoint else ''}"

    @property
    def is_secure(self) -> bool:
        """Tell whether requests go over TLS, as they always do to AWS."""
        return self.endpoint is None or urlsplit(self.endpoint).scheme == "https"


def parse_sqs_address(url: str) -> SqsAddress:
    """Return the address in a URL; raises `ValueError` with the right way to write it."""
    parts = urlsplit(url)
    key, secret = _credentials(parts)
    options = _options(parts)
    if not REGION.fullmatch(options.get("region", "")):
        raise ValueError(f"an SQS URL must name its region: {EXAMPLE}")
    prefix = options.get("prefix", DEFAULT_PREFIX)
    if not PREFIX.fullmatch(prefix):
        raise ValueError("prefix= may have up to 60 letters, digits, hyphens and underscores")
    return SqsAddress(options["region"], _endpoint(options.get("endpoint")), prefix, key, secret)


def check_sqs_url(url: str) -> str:
    """Return a broker's URL unchanged; raises `ValueError` for an SQS URL that cannot be used."""
    if urlsplit(url).scheme != "sqs":
        return url
    parse_sqs_address(url)
    return url


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    credentials, _, host = parts.netloc.rpartition("@")
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("the secret of an SQS URL must be percent-encoded: / as %2F, + as %2B, # as %23")
    if host or parts.path or parts.fragment:
        raise ValueError(f"an SQS URL has no host and no path: write {EXAMPLE}&endpoint=http://HOST:PORT")
    key, _, secret = credentials.partition(":")
    if bool(key) != bool(secret):
        raise ValueError(
            "an SQS URL must have both key and secret (sqs://KEY:SECRET@?region=...), or neither"
        )
    return unquote(key) or None, unquote(secret) or None


def _options(parts: SplitResult) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    for name, _ in pairs:
        if name not in OPTIONS:
            raise ValueError(f"an SQS URL has no option {name!r}: there are {', '.join(OPTIONS)}")
    return dict(pairs)


def _endpoint(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a wrong port
        is_right = False
    if not is_right or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise ValueError("endpoint= must be http:// or https:// with a host, optionally a port, and no path")
    return f"{parts.scheme}://{parts.netloc}"

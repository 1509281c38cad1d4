"""Decompresses bodies with a bound on the result, so that a small body cannot fill the memory."""

import zlib
from collections.abc import AsyncIterable

ACCEPTED = "gzip, deflate"
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib: 16 + 15 means a gzip header
_GZIP_START = b"\x1f"


class TooLargeError(ValueError):
    """The body has more bytes than the limit after decompression; `beginning` is its part up to the limit."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        super().__init__()


class UndecodableError(ValueError):
    """The body is not in the encoding that it claims."""


async def read_body(chunks: AsyncIterable[bytes], encoding: str, limit_bytes: int) -> bytes:
    """Return the decoded body; raises `TooLargeError` or `UndecodableError`."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return await _read_plain(chunks, limit_bytes)
    if encoding not in _WINDOWS:
        raise UndecodableError(f"Content-Encoding {encoding!r} was not asked for")
    return await _read_deflated(chunks, encoding, limit_bytes)


async def _read_plain(chunks: AsyncIterable[bytes], limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit_bytes:
            raise TooLargeError(bytes(body[:limit_bytes]))
    return bytes(body)


async def _read_deflated(chunks: AsyncIterable[bytes], encoding: str, limit_bytes: int) -> bytes:
    body, chunk, inflate = bytearray(), b"", None
    try:
        async for received in chunks:
            chunk += received
            if inflate is None:
                if len(chunk) < 2:
                    continue
                window = _window(encoding, chunk)
                inflate = zlib.decompressobj(window)
            while chunk:
                if inflate.eof:
                    if not chunk.startswith(_GZIP_START):
                        chunk = b""  # trailing bytes are ignored, as in browsers
                        break
                    inflate = zlib.decompressobj(window)  # a gzip body may have several members (RFC 1952)
                # One byte above the limit shows that the body is too large, without decompressing all of it.
                body += inflate.decompress(chunk, limit_bytes + 1 - len(body))
                if len(body) > limit_bytes:
                    raise TooLargeError(bytes(body[:limit_bytes]))
                chunk = inflate.unused_data
    except zlib.error as error:
        raise UndecodableError(f"the compressed body is broken: {error}") from error
    if chunk or (inflate is not None and not inflate.eof):
        raise UndecodableError("the compressed body ends too early")
    return bytes(body)


def _window(encoding: str, start: bytes) -> int:
    # Some servers send "deflate" without the header of zlib (RFC 1950), which browsers read as well.
    has_header = start[0] & 0x0F == 8 and int.from_bytes(start[:2]) % 31 == 0
    return -15 if encoding == "deflate" and not has_header else _WINDOWS[encoding]

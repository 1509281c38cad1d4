"""Decompression that stops at the limit, and bodies that are not what they claim to be."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobyard.fetching.inflate import TooLargeError, UndecodableError, read_body

LIMIT = 1024 * 1024
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    " deflate ": zlib.compress,
    "Deflate": partial(zlib.compress, wbits=-15),  # without the header of zlib, as some servers send it
}


class Wire:
    """A body in chunks, and how many of them were asked for."""

    def __init__(self, body: bytes, chunk_bytes: int = 4096) -> None:
        self.chunks = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.sent += 1
            yield chunk


def read(body: bytes | Wire, encoding: str, limit: int = LIMIT) -> bytes:
    return asyncio.run(read_body(body if isinstance(body, Wire) else Wire(body), encoding, limit))


@given(body=st.binary(max_size=300), encoding=st.sampled_from(sorted(PACKERS)), chunk=st.integers(1, 50))
def test_a_body_is_read_whatever_its_encoding_and_its_chunks(body: bytes, encoding: str, chunk: int) -> None:
    packed = PACKERS[encoding](body)
    assert read(Wire(packed, chunk), encoding, limit=len(body)) == body


@given(
    body=st.binary(min_size=1, max_size=300),
    encoding=st.sampled_from(sorted(PACKERS)),
    chunk=st.integers(1, 50),
)
def test_one_byte_more_than_the_limit_is_too_many(body: bytes, encoding: str, chunk: int) -> None:
    packed = PACKERS[encoding](body)
    with pytest.raises(TooLargeError):
        read(Wire(packed, chunk), encoding, limit=len(body) - 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit_and_never_made(encoding: str) -> None:
    bomb = Wire(PACKERS.get(encoding, zlib.compress)(bytes(100 * LIMIT)))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            read(bomb, encoding)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * LIMIT
    assert bomb.sent == 1


def test_an_endless_body_is_read_no_further_than_the_limit() -> None:
    wire = Wire(bytes(10 * LIMIT))
    with pytest.raises(TooLargeError):
        read(wire, "")
    assert wire.sent == LIMIT // 4096 + 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "body",
    [b"plain text", b"\x1f\x8b\x08\x00broken", gzip.compress(b"x" * 1000)[:-12]],
    ids=["plain", "broken", "cut off"],  # a compressed body holds the time, and a test's name must not
)
def test_a_broken_body_is_said_to_be_broken(encoding: str, body: bytes) -> None:
    with pytest.raises(UndecodableError, match=r"broken|too early"):
        read(body, encoding)


def test_a_changed_body_is_noticed() -> None:
    packed = bytearray(gzip.compress(b"the truth"))
    packed[-5] ^= 1  # the checksum's last byte
    with pytest.raises(UndecodableError, match="broken"):
        read(bytes(packed), "gzip")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_an_encoding_that_was_not_asked_for_is_named(encoding: str) -> None:
    with pytest.raises(UndecodableError, match=f"'{encoding}' was not asked for"):
        read(b"x", encoding)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_gzip_body_of_several_members_is_read_to_its_end(chunk: int) -> None:
    members = gzip.compress(b"one, ") + gzip.compress(b"") + gzip.compress(b"two")
    assert read(Wire(members, chunk), "gzip") == b"one, two"


def test_the_limit_counts_all_members_together() -> None:
    with pytest.raises(TooLargeError):
        read(gzip.compress(b"x" * 60) * 2, "gzip", limit=100)


def test_what_trails_behind_a_body_is_ignored() -> None:
    assert read(gzip.compress(b"page") + bytes(512), "gzip") == b"page"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", ""])
def test_no_body_at_all_is_an_empty_page(encoding: str) -> None:
    assert read(b"", encoding) == b""

"""Reads the frames of an animated PNG (https://www.w3.org/TR/png-3/#apng-frame-based-animation)."""

import struct
import zlib
from collections.abc import Iterator

from tasks.images.animation import Animation, Disposal, Frame
from tasks.images.checks import check_frames

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DISPOSALS = {1: Disposal.CLEAR, 2: Disposal.RESTORE}
_COLOURS = (b"PLTE", b"tRNS")


def read_apng(content: bytes, max_pixels: int) -> Animation | None:
    """Return the frames of a PNG, or None if it has no animation; an IDAT that is no frame is left out.

    Raises `PictureRefusedError` for too many frames, `EOFError` where it is truncated.
    """
    header, colours, number, plays = b"", b"", 0, 0
    controls: list[bytes] = []
    data: list[list[memoryview]] = []
    for kind, body in _chunks(content):
        if kind == b"IHDR":
            header = bytes(body)
        elif kind in _COLOURS:
            colours += _chunk(kind, bytes(body))
        elif kind == b"acTL":
            number, plays = struct.unpack_from(">II", body)
        elif kind == b"fcTL" and len(controls) == number:
            break
        elif kind == b"fcTL":
            controls.append(bytes(body))
            data.append([])
            check_frames(struct.unpack_from(">II", header), len(controls), max_pixels)
        elif controls and kind in (b"IDAT", b"fdAT"):
            data[-1].append(body if kind == b"IDAT" else body[4:])
    if not controls:
        return None
    frames = [
        _frame(control, header, colours, b"".join(parts))
        for control, parts in zip(controls, data, strict=True)
    ]
    return Animation(struct.unpack_from(">II", header), tuple(frames), plays)


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, position, kind = memoryview(content), len(_SIGNATURE), b""
    while kind != b"IEND":
        if position + 8 > len(content):
            raise EOFError("the file ends before its last frame")
        length, kind = struct.unpack_from(">I4s", content, position)
        yield kind, view[position + 8 : position + 8 + length]
        position += length + 12


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _frame(control: bytes, header: bytes, colours: bytes, data: bytes) -> Frame:
    width, height, left, top, part, whole, disposal, blend = struct.unpack_from(">IIIIHHBB", control, 4)
    canvas_width, canvas_height = struct.unpack_from(">II", header)
    if left + width > canvas_width or top + height > canvas_height:
        raise ValueError("a frame reaches beyond the picture")
    single = b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">II", width, height) + header[8:]),
            colours,
            _chunk(b"IDAT", data),
            _chunk(b"IEND", b""),
        )
    )
    duration_ms = 1000 * part / (whole or 100)
    return Frame(
        single, left, top, width, height, duration_ms, _DISPOSALS.get(disposal, Disposal.KEEP), blend == 1
    )

"""Bounds what a picture costs to decode, where that may be far more than its pixels.

A progressive JPEG goes over its pixels in each scan, a TIFF may have tiles larger than itself, an AVIF frames
larger than it declares, and any file millions of parts.
"""

import re
import time
from collections.abc import Iterator
from io import BytesIO
from typing import TypeVar

from PIL import Image, TiffImagePlugin

from tasks.images.checks import DECLARES, PictureRefusedError, check_pixels

T = TypeVar("T")

# How many times `max_pixels` a progressive JPEG may go over in all its scans; libtiff too ends at 100 scans.
# 5,000 million pixels take some 5 s.
SCANS_FACTOR = 100
# Computing time for all that one job decodes; 50 million pixels take 1 to 3 s.
DECODING_SECONDS = 30.0

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_TILE_SIDES = (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)
_WITHOUT_LENGTH = (b"\xff\xd8", b"\xff\x01")


def check_scans(content: bytes, size: tuple[int, int], max_pixels: int) -> None:
    """Raise `PictureRefusedError` if the scans of a JPEG together have far more pixels than a picture may."""
    scans = count_scans(content)
    if size[0] * size[1] * scans > max_pixels * SCANS_FACTOR:
        raise PictureRefusedError(
            f"{DECLARES} {size[0]} x {size[1]} pixels in {scans} scans, and at most "
            f"{max_pixels * SCANS_FACTOR} pixels in all scans are decoded "
            f"({SCANS_FACTOR} times JOBYARD_IMAGES__MAX_PIXELS)"
        )


def check_tiles(image: Image.Image, max_pixels: int) -> None:
    """Raise `PictureRefusedError` if a TIFF's tiles, which may reach beyond it, have too many pixels."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile_sides = (image.tag_v2.get(tag, 1) for tag in _TILE_SIDES)
        across, down = (-(-side // tile) * tile for side, tile in zip(image.size, tile_sides, strict=True))
        check_pixels("the tiles of the picture have", across, down, 1, max_pixels)


def count_scans(content: bytes) -> int:
    """Return the number of scans of a JPEG; each one goes over all pixels (ITU-T T.81, B.1)."""
    scans, position = 0, 0
    while (marker := _MARKER.search(content, position)) and marker.group() != _END_OF_IMAGE:
        scans += marker.group() == _START_OF_SCAN
        position = marker.end()
        if marker.group() not in _WITHOUT_LENGTH:
            position += int.from_bytes(content[position : position + 2], "big")
    return scans


class DecodingClock:
    """The computing time that is left to decode a picture's frames, for all outputs together."""

    def __init__(self) -> None:
        self._seconds_left = DECODING_SECONDS

    def limit(self, frames: Iterator[T]) -> Iterator[T]:
        """Yield decoded frames; raises `PictureRefusedError` once no time is left."""
        while True:
            began = time.process_time()
            frame = next(frames, None)
            self._seconds_left -= time.process_time() - began
            if frame is None:
                return
            if self._seconds_left < 0:
                raise _too_slow()
            yield frame


class TimedFile(BytesIO):
    """A file that cannot be read any more once the process has computed for `DECODING_SECONDS`.

    Pillow reads each marker, chunk and run by itself, so that millions of them do not keep it busy longer.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._ends_at = time.process_time() + DECODING_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.process_time() > self._ends_at:
            raise _too_slow()
        return super().read(size)


def _too_slow() -> PictureRefusedError:
    return PictureRefusedError(
        f"the picture takes more than {DECODING_SECONDS:g} s to decode, far more than its pixels need"
    )

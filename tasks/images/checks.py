"""Refuses files that are not pictures, damaged pictures, and pictures that declare too many pixels.

Any fault of a picture is a `PictureRefusedError`; running out of memory is always a `MemoryError`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image, ImageFile, UnidentifiedImageError

from jobyard import Discard

OPENED = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
DECLARES = "the picture declares"

FRAMES_LIMIT = 10_000
Image.MAX_IMAGE_PIXELS = None  # our own check has better messages


class PictureRefusedError(Discard):
    """A picture that cannot or must not be converted."""


@contextmanager
def refuse_errors(message: str) -> Iterator[None]:
    """Turn any error that Pillow raises in the block into a `PictureRefusedError` with this message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, which does not affect the pixels
            yield
    except (PictureRefusedError, MemoryError, SoftTimeLimitExceeded):
        raise
    except Exception as error:  # Pillow's decoders raise many types of exceptions
        if _is_about_memory(error):
            raise MemoryError(str(error)) from error
        raise PictureRefusedError(f"{message}: {error or type(error).__name__}") from error


def identify(file: BytesIO) -> ImageFile.ImageFile:
    """Open a picture without decoding it; raises `PictureRefusedError` for formats not in `OPENED`."""
    content = file.getvalue()
    if not content:
        raise PictureRefusedError("the picture has zero bytes")
    try:
        return Image.open(file, formats=OPENED)
    except UnidentifiedImageError:
        raise PictureRefusedError(f"the picture is {_describe_content(content)}") from None


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return the size that a WebP declares (RFC 9649), or None for anything else."""
    if not (content.startswith(b"RIFF") and content[8:12] == b"WEBP"):
        return None
    match content[12:16]:
        case b"VP8X":
            return _number(content[24:27]) + 1, _number(content[27:30]) + 1
        case b"VP8L":
            packed = _number(content[21:25])
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _number(content[26:28]) & 0x3FFF, _number(content[28:30]) & 0x3FFF
    return None


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


def check_pixels(subject: str, width: int, height: int, frames: int, max_pixels: int) -> None:
    """Raise `PictureRefusedError` if all frames together have more than `max_pixels`."""
    if width * height * frames > max_pixels:
        times = f" x {frames} frames" if frames > 1 else ""
        raise _too_many(f"{subject} {width} x {height}{times}", max_pixels)


def check_frames(size: tuple[int, int], frames: int, max_pixels: int) -> None:
    """Raise `PictureRefusedError` if there are too many frames of this size, or too many frames."""
    check_pixels(DECLARES, *size, frames, max_pixels)
    if frames > FRAMES_LIMIT:
        raise PictureRefusedError(f"the picture has more than {FRAMES_LIMIT} frames")


def _too_many(size: str, max_pixels: int) -> PictureRefusedError:
    return PictureRefusedError(
        f"{size} pixels, and at most {max_pixels} in all are allowed (JOBYARD_IMAGES__MAX_PIXELS)"
    )


def _describe_content(content: bytes) -> str:
    names = ", ".join(OPENED)
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "an AVIF that is damaged or truncated"
    if b"<svg" in content[:4096].lower():
        return f"an SVG drawing, and only {names} are accepted"
    if content.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return f"an EPS or PostScript program, and only {names} are accepted"
    return f"none of {names} (its content counts, not its name), or damaged at its beginning"


def _is_about_memory(error: Exception) -> bool:
    return "out of memory" in str(error).lower()

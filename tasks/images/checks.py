"""What is refused in a picture, and in which words: what is none, what is damaged, what declares too much.

Whatever is wrong with a picture is a `PictureRefusedError`; running out of memory is always a `MemoryError`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image, UnidentifiedImageError

from jobyard import Discard

OPENED = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
DECLARES = "the picture declares"

# Our own check says more; Pillow's stands only where it alone can be in time, see `pillows_own_limit`.
Image.MAX_IMAGE_PIXELS = None


class PictureRefusedError(Discard):
    """A picture that cannot, or must not, be converted."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever Pillow raises in the block into a `PictureRefusedError` that begins with `what`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, which does not hurt the picture
            yield
    except (PictureRefusedError, MemoryError, SoftTimeLimitExceeded):
        raise
    except Exception as error:  # Pillow's decoders raise nearly every kind
        if _is_about_memory(error):
            raise MemoryError(str(error)) from error
        raise PictureRefusedError(f"{what}: {error or type(error).__name__}") from error


@contextmanager
def pillows_own_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow itself refuse more than twice `max_pixels` in the block.

    A GIF's frame may be larger than its screen, which takes memory before anybody but Pillow is asked. Its
    limit is one for the process, and so is our setting.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        yield
    except Image.DecompressionBombError as error:
        raise _too_many(f"{DECLARES} more than {2 * max_pixels}", max_pixels) from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def identified(content: bytes) -> Image.Image:
    """Open a picture without decoding it; raises `PictureRefusedError` for what is none of `OPENED`."""
    if not content:
        raise PictureRefusedError("the picture has zero bytes")
    try:
        return Image.open(BytesIO(content), formats=OPENED)
    except UnidentifiedImageError:
        raise PictureRefusedError(f"the picture is {_what_it_is(content)}") from None


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


def check_pixels(what: str, width: int, height: int, frames: int, max_pixels: int) -> None:
    """Raise `PictureRefusedError` where all frames together have more pixels than may be."""
    if width * height * frames > max_pixels:
        times = f" x {frames} frames" if frames > 1 else ""
        raise _too_many(f"{what} {width} x {height}{times}", max_pixels)


def _too_many(words: str, max_pixels: int) -> PictureRefusedError:
    return PictureRefusedError(
        f"{words} pixels, and at most {max_pixels} in all may be (JOBYARD_IMAGES__MAX_PIXELS)"
    )


def _what_it_is(content: bytes) -> str:
    names = ", ".join(OPENED)
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "damaged or truncated, as far as it is an AVIF"
    if b"<svg" in content[:4096].lower():
        return f"an SVG drawing, and only {names} are taken"
    if content.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return f"an EPS or PostScript program, and only {names} are taken"
    return f"none of {names} (its content counts, not its name), or damaged where it begins"


def _is_about_memory(error: Exception) -> bool:
    return "out of memory" in str(error).lower()

"""Checks that there is enough memory before a picture is processed.

Without enough memory the codecs call a valid picture damaged, or end the process. Under RLIMIT_AS (measured)
libaom and Pillow's quantizer crash, libwebp "could not create" a decoder, and libjpeg finds a "broken data
stream".
"""

from tasks.images.shapes import Format

# Peak memory in bytes per pixel, measured with Pillow 13 and rounded up.
_READING = {"WEBP": 8, "AVIF": 12, "JPEG": 10, "MPO": 10}
_READING_OTHERS = 5
_DRAWING = 20  # an animation's canvas, what it is restored to, the frame, and what is handed on
_OPENING_WEBP = 16  # opening a WebP allocates its canvases, and reading it allocates the rest
_WRITING = {Format.JPEG: 10, Format.PNG: 6, Format.WEBP: 34, Format.AVIF: 62, Format.GIF: 30}
_COPY = 4
_ENCODER_BYTES = 48 * 1024 * 1024  # independent of the size: libaom's threads

_BLOCK_BYTES = 4 * 1024 * 1024


def check_memory_to_open_webp(pixels: int) -> None:
    """Raise `MemoryError` if there is not enough memory for a WebP's canvases."""
    _check_memory(pixels * _OPENING_WEBP, f"to read {pixels} pixels")


def check_memory_to_read(format: str | None, pixels: int) -> None:
    """Raise `MemoryError` if there is not enough memory to decode this many pixels."""
    _check_memory(pixels * _READING.get(format or "", _READING_OTHERS), f"to read {pixels} pixels")


def check_memory_to_draw(pixels: int) -> None:
    """Raise `MemoryError` if there is not enough memory to draw the frames of an animation of this size."""
    _check_memory(pixels * _DRAWING, f"to draw frames of {pixels} pixels")


def check_memory_to_write(format: Format, source_pixels: int, pixels: int, frames: int) -> None:
    """Raise `MemoryError` if there is not enough memory to make a picture of `pixels` from another."""
    needed = _ENCODER_BYTES + source_pixels * _COPY + pixels * (frames * _COPY + _WRITING[format])
    _check_memory(
        needed, f"to make {pixels} pixels of {format}" + (f" in {frames} frames" if frames > 1 else "")
    )


def _check_memory(needed_bytes: int, purpose: str) -> None:
    try:
        # Allocated and freed at once, so the kernel maps no page of it.
        [bytes(_BLOCK_BYTES) for _ in range(-(-needed_bytes // _BLOCK_BYTES))]
    except MemoryError:
        raise MemoryError(
            f"{purpose} takes about {needed_bytes >> 20} MiB, which this process may not allocate "
            "(JOBYARD_WORKER__CHILD_MEMORY_BYTES)"
        ) from None

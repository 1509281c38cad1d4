"""Room in memory: asked for before the work, while a lack of it can still be told from a damaged picture.

Short of memory, the codecs call a sound picture damaged or end the process (measured under RLIMIT_AS: libaom
and Pillow's quantizer crash, libwebp "could not create" a decoder, libjpeg finds a "broken data stream").
"""

from tasks.images.shapes import Format

# Bytes for each pixel at the peak, measured with Pillow 13 and rounded up.
_READING = {"WEBP": 8, "AVIF": 12, "JPEG": 10, "MPO": 10}
_READING_OTHERS = 5
_OPENING_WEBP = 16  # its canvases are taken when it is opened, and the rest of this when it is read
_WRITING = {Format.JPEG: 10, Format.PNG: 6, Format.WEBP: 34, Format.AVIF: 62, Format.GIF: 30}
_COPY = 4
_ENCODER_BYTES = 48 * 1024 * 1024  # whatever the size; libaom's threads

_BLOCK_BYTES = 4 * 1024 * 1024


def ask_room_to_open_webp(pixels: int) -> None:
    """Raise `MemoryError` where there is no room for a WebP's canvases."""
    _ask(pixels * _OPENING_WEBP, f"to read {pixels} pixels")


def ask_room_to_read(format: str | None, pixels: int) -> None:
    """Raise `MemoryError` where there is no room to decode so many pixels."""
    _ask(pixels * _READING.get(format or "", _READING_OTHERS), f"to read {pixels} pixels")


def ask_room_to_write(format: Format, source_pixels: int, pixels: int, frames: int) -> None:
    """Raise `MemoryError` where there is no room to make a picture of so many pixels out of another."""
    needed = _ENCODER_BYTES + source_pixels * _COPY + pixels * (frames * _COPY + _WRITING[format])
    _ask(needed, f"to make {pixels} pixels of {format}" + (f" in {frames} frames" if frames > 1 else ""))


def _ask(needed_bytes: int, purpose: str) -> None:
    try:
        # Taken from the allocator and given back; the kernel maps no page of it.
        [bytes(_BLOCK_BYTES) for _ in range(-(-needed_bytes // _BLOCK_BYTES))]
    except MemoryError:
        raise MemoryError(
            f"{purpose} takes about {needed_bytes >> 20} MiB, which this process may not have "
            "(JOBYARD_WORKER__CHILD_MEMORY_BYTES)"
        ) from None

"""Writes GIFs: each frame with colours of its own, and only where it differs from the one before.

A pixel of a GIF is transparent or it is not: what is less than half opaque becomes transparent, and all else
keeps its own colour, opaque.
"""

import struct
from collections.abc import Iterator, Sequence

from PIL import GifImagePlugin, Image, ImageChops

_HALF_OPAQUE = 128
_KEEP, _CLEAR = 1, 2
_MAX_LOOPS = _MAX_HUNDREDTHS = 0xFFFF
# Browsers show a frame of at most 10 ms for 100 ms, and so a longer one must not be rounded to that.
_SHOWN_AS_IT_IS_MS = 10

Box = tuple[int, int, int, int]


def encode_gif(frames: Sequence[Image.Image], durations_ms: Sequence[float], plays: int) -> bytes:
    """Return a GIF of frames in grey, RGB or RGBA that are all of one size; 0 plays are for ever."""
    width, height = frames[0].size
    content = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x70, 0, 0)]
    if len(frames) > 1 and plays != 1:
        loops = min(max(plays - 1, 0), _MAX_LOOPS)  # the first play is not counted
        content.append(b"!\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, loops, 0))
    delays = _hundredths(durations_ms) if len(frames) > 1 else iter((0,))
    before: Image.Image | None = None
    for frame, following, delay in zip(frames, (*frames[1:], None), delays, strict=True):
        is_cleared = following is not None and _uncovers(frame, following)
        drawn = _opaque(frame) if before is None else _changed(before, frame)
        is_whole = before is None or is_cleared  # what is cleared afterwards is the frame's own box
        box = (0, 0, width, height) if is_whole else drawn.getbbox() or (0, 0, 1, 1)
        options = {"duration": delay * 10, "disposal": _CLEAR if is_cleared else _KEEP}
        content += _encode_frame(frame, drawn, box, options)
        before = None if is_cleared else frame
    return b"".join((*content, b";"))


def _hundredths(durations_ms: Sequence[float]) -> Iterator[int]:
    # Rounded so that the animation as a whole takes as long as before.
    ended_ms, written = 0.0, 0
    for duration_ms in durations_ms:
        ended_ms += duration_ms
        least = 2 if duration_ms > _SHOWN_AS_IT_IS_MS else 1
        delay = min(max(round(ended_ms / 10) - written, least), _MAX_HUNDREDTHS)
        written += delay
        yield delay


def _opaque(frame: Image.Image) -> Image.Image:
    if frame.mode != "RGBA":
        return Image.new("L", frame.size, 255)
    return frame.getchannel("A").point([255 * (alpha >= _HALF_OPAQUE) for alpha in range(256)])


def _uncovers(frame: Image.Image, following: Image.Image) -> bool:
    """Tell whether some pixel is opaque in a frame and transparent in the next one."""
    return ImageChops.subtract(_opaque(frame), _opaque(following)).getbbox() is not None


def _changed(before: Image.Image, frame: Image.Image) -> Image.Image:
    """Return a mask of the frame's opaque pixels that differ from the frame before."""
    difference = ImageChops.difference(before.convert("RGB"), frame.convert("RGB"))
    red, green, blue = difference.split()
    differs = ImageChops.lighter(ImageChops.lighter(red, green), blue).point([0] + [255] * 255)
    appears = ImageChops.invert(_opaque(before))
    return ImageChops.darker(_opaque(frame), ImageChops.lighter(differs, appears))


def _encode_frame(frame: Image.Image, drawn: Image.Image, box: Box, options: dict[str, int]) -> list[bytes]:
    colours, mask = frame.convert("RGB").crop(box), drawn.crop(box)
    rest = ImageChops.invert(mask)
    has_rest = rest.getbbox() is not None
    if has_rest:
        colours.paste(_first_colour(colours, mask), mask=rest)
    indexed = colours.quantize(255 if has_rest else 256)
    used = int(indexed.getextrema()[1]) + 1  # type: ignore[arg-type]
    indexed.putpalette([*(indexed.getpalette() or ())[: 3 * used], *(0, 0, 0) * has_rest])
    if has_rest:
        indexed.paste(used, mask=rest)
        options["transparency"] = used
    return GifImagePlugin.getdata(indexed, box[:2], include_color_table=True, interlace=0, **options)


def _first_colour(colours: Image.Image, mask: Image.Image) -> tuple[int, ...]:
    # A colour of the frame itself takes no place in the palette from another.
    box = mask.getbbox()
    if box is None:
        return (0, 0, 0)
    left, top, right, _ = box
    row = mask.crop((left, top, right, top + 1)).getbbox()
    return colours.getpixel((left + (row[0] if row else 0), top))  # type: ignore[return-value]

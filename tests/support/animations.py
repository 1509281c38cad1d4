"""Animations for tests, put together byte by byte, and what is seen of them, put together pixel by pixel."""

import random
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import GifImagePlugin, Image

Rgba = tuple[int, int, int, int]
CLEAR: Rgba = (0, 0, 0, 0)
CELL = 8  # pixels on each side of a cell of one colour, which lossy encoders keep
CELLS = 4
SIDE = CELL * CELLS
COLOURS: Sequence[Rgba] = (
    (200, 30, 30, 255),
    (30, 160, 40, 255),
    (40, 60, 210, 255),
    (230, 220, 60, 255),
    (20, 20, 20, 255),
    (250, 250, 250, 255),
)
SOFT: Sequence[Rgba] = ((200, 30, 30, 96), (40, 60, 210, 160), (0, 0, 0, 60), (20, 240, 20, 200))


@dataclass(frozen=True)
class Drawing:
    """One frame as a file has it; places and sizes are in cells, `disposal` is a GIF's number."""

    left: int
    top: int
    rows: tuple[tuple[Rgba, ...], ...]
    disposal: int = 0
    is_blended: bool = True
    duration_ms: int = 100

    @property
    def image(self) -> Image.Image:
        image = Image.new("RGBA", (len(self.rows[0]), len(self.rows)))
        image.putdata([pixel for row in self.rows for pixel in row])
        return image.resize((image.width * CELL, image.height * CELL), Image.Resampling.NEAREST)


def drawings(
    seed: int, disposals: Sequence[int], *, is_blended: bool = True, soft: bool = False
) -> list[Drawing]:
    """A frame for each disposal: the first fills the canvas, and all have holes."""
    chance = random.Random(seed)
    colours = (*COLOURS, *SOFT) if soft else COLOURS
    found = []
    for number, disposal in enumerate(disposals):
        width, height = (
            (CELLS, CELLS) if number == 0 else (chance.randint(1, CELLS), chance.randint(1, CELLS))
        )
        rows = tuple(
            tuple(chance.choice((*colours, CLEAR, CLEAR)) for _ in range(width)) for _ in range(height)
        )
        left, top = chance.randint(0, CELLS - width), chance.randint(0, CELLS - height)
        found.append(Drawing(left, top, rows, disposal, is_blended, 50 + 30 * number))
    return found


def seen(frames: Sequence[Drawing]) -> list[list[Rgba]]:
    """The cells of the canvas at each frame, line by line, as browsers show them."""
    canvas = [CLEAR] * CELLS**2
    found = []
    for frame in frames:
        before = list(canvas)
        places = {
            (frame.top + y) * CELLS + frame.left + x: pixel
            for y, row in enumerate(frame.rows)
            for x, pixel in enumerate(row)
        }
        for place, pixel in places.items():
            canvas[place] = _over(pixel, canvas[place]) if frame.is_blended else pixel
        found.append(list(canvas))
        if frame.disposal == 2:
            canvas = [CLEAR if place in places else pixel for place, pixel in enumerate(canvas)]
        elif frame.disposal == 3:
            canvas = before
    return found


def _over(above: Rgba, below: Rgba) -> Rgba:
    share, rest = above[3] / 255, below[3] / 255 * (1 - above[3] / 255)
    if share + rest == 0:
        return CLEAR
    red, green, blue = (
        round((one * share + other * rest) / (share + rest))
        for one, other in zip(above[:3], below[:3], strict=True)
    )
    return red, green, blue, round(255 * (share + rest))


def cells(image: Image.Image) -> list[Rgba]:
    """The colour in the middle of each cell of a picture of any size; nothing has no colour."""
    pixels = image.convert("RGBA")
    middles = [
        (int((x + 0.5) * image.width / CELLS), int((y + 0.5) * image.height / CELLS))
        for y in range(CELLS)
        for x in range(CELLS)
    ]
    found: list[Rgba] = [pixels.getpixel(middle) for middle in middles]  # type: ignore[misc]
    return [pixel if pixel[3] else CLEAR for pixel in found]


def as_gif(frames: Sequence[Drawing], loops: int | None = None, *, one_palette: bool = False) -> bytes:
    """A GIF with a palette for each frame or for all; without `loops` it says nothing of repeats."""
    palette = [channel for colour in ((0, 0, 0), *[c[:3] for c in COLOURS]) for channel in colour]
    screen = struct.pack("<HHBBB", SIDE, SIDE, 0xF2 if one_palette else 0x70, 1, 0)
    content = [b"GIF89a", screen, bytes(palette + [0] * 3) if one_palette else b""]
    if loops is not None:
        content.append(b"!\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, loops, 0))
    for frame in frames:
        indexed = _indexed(frame.image, [CLEAR, *COLOURS])
        indexed.putpalette(palette)
        content += GifImagePlugin.getdata(
            indexed,
            (frame.left * CELL, frame.top * CELL),
            transparency=0,
            duration=frame.duration_ms,
            disposal=frame.disposal,
            include_color_table=not one_palette,
        )
    return b"".join((*content, b";"))


def as_apng(
    frames: Sequence[Drawing], plays: int = 0, *, has_palette: bool = False, has_own_still: bool = False
) -> bytes:
    """An animated PNG of RGBA or palette pixels; its own still picture is none of its frames."""
    palette = [CLEAR, *COLOURS, *SOFT]
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 3 if has_palette else 6, 0, 0, 0)
    content = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", head)]
    if has_palette:
        content.append(_chunk(b"PLTE", b"".join(bytes(colour[:3]) for colour in palette)))
        content.append(_chunk(b"tRNS", bytes(colour[3] for colour in palette)))
    content.append(_chunk(b"acTL", struct.pack(">II", len(frames), plays)))
    if has_own_still:
        still = Image.new("RGBA", (SIDE, SIDE), COLOURS[3])
        content.append(_chunk(b"IDAT", _scanlines(still, palette if has_palette else None)))
    sequence = 0
    for number, frame in enumerate(frames):
        image = frame.image
        place = (image.width, image.height, frame.left * CELL, frame.top * CELL)
        disposal = max(frame.disposal - 1, 0)
        how = (frame.duration_ms, 1000, disposal, frame.is_blended)
        content.append(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, *place, *how)))
        data = _scanlines(image, palette if has_palette else None)
        sequence += 1
        if number == 0 and not has_own_still:
            content.append(_chunk(b"IDAT", data))
        else:
            content.append(_chunk(b"fdAT", struct.pack(">I", sequence) + data))
            sequence += 1
    return b"".join((*content, _chunk(b"IEND", b"")))


def as_webp(frames: Sequence[Drawing], plays: int = 0) -> bytes:
    """A lossless animated WebP (RFC 9649); it cannot restore what was there before a frame."""
    content = [b"WEBP", _part(b"VP8X", struct.pack("<I", 0x12) + _three(SIDE - 1) + _three(SIDE - 1))]
    content.append(_part(b"ANIM", bytes((9, 9, 9, 255)) + struct.pack("<H", plays)))
    for frame in frames:
        target = BytesIO()
        frame.image.save(target, "WEBP", lossless=True, exact=True)
        place = (frame.left * CELL // 2, frame.top * CELL // 2, frame.image.width - 1, frame.image.height - 1)
        how = (frame.disposal == 2) | (not frame.is_blended) << 1
        head = b"".join(map(_three, (*place, frame.duration_ms))) + bytes((how,))
        content.append(_part(b"ANMF", head + target.getvalue()[12:]))
    body = b"".join(content)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _indexed(image: Image.Image, palette: Sequence[Rgba]) -> Image.Image:
    indexed = Image.new("P", image.size)
    pixels = image.tobytes()
    indexed.putdata([palette.index(tuple(pixels[at : at + 4])) for at in range(0, len(pixels), 4)])
    return indexed


def _scanlines(image: Image.Image, palette: Sequence[Rgba] | None) -> bytes:
    pixels = (_indexed(image, palette) if palette else image).tobytes()
    line = len(pixels) // image.height
    return zlib.compress(b"".join(b"\0" + pixels[at : at + line] for at in range(0, len(pixels), line)))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _part(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")

"""Reads the frames of a GIF (https://www.w3.org/Graphics/GIF/spec-gif89a.txt) without decoding them."""

import re
import struct
from dataclasses import dataclass

from tasks.images.animation import Animation, Disposal, Frame
from tasks.images.checks import check_frames

_DISPOSALS = {2: Disposal.CLEAR, 3: Disposal.RESTORE, 4: Disposal.RESTORE}  # 4 as in browsers
_BLOCK = re.compile(rb"[!,;]")  # whatever stands before a block is skipped, as in Pillow
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = re.compile(rb"\x0b(?:NETSCAPE2\.0|ANIMEXTS1\.0)\x03\x01(..)", re.DOTALL)
_HAS_TABLE, _IS_INTERLACED, _IS_TRANSPARENT = 0x80, 0x40, 0x01


@dataclass(frozen=True)
class _Control:
    """What a graphic control extension says about the frame after it."""

    disposal: Disposal = Disposal.KEEP
    duration_ms: int = 0
    extension: bytes = b""


def is_gif(content: bytes) -> bool:
    """Tell whether a file begins as a GIF does."""
    return content.startswith((b"GIF87a", b"GIF89a"))


def read_gif(content: bytes, max_pixels: int) -> Animation:
    """Return the frames of a GIF, before Pillow opens it and may make room for its first frame.

    Raises `PictureRefusedError` for too many frames, `EOFError` where it is truncated.
    """
    try:
        return _read(content, max_pixels)
    except (IndexError, struct.error):
        raise EOFError("the file ends in the middle of a frame") from None


def _read(content: bytes, max_pixels: int) -> Animation:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    common_table, position = _colour_table(content, 13, flags)
    frames: list[Frame] = []
    control, plays = _Control(), 1
    largest = (width, height)
    while (block := _BLOCK.search(content, position)) and block.group() != b";":
        position = block.end()
        if block.group() == b"!":
            start, position = position + 1, _after_sub_blocks(content, position + 1)
            if content[start - 1] == _GRAPHIC_CONTROL:
                control = _read_control(content[start:position])
            elif loops := _LOOPS.match(content, start, position):
                plays = _plays(int.from_bytes(loops[1], "little"))
            continue
        frame, position = _read_frame(content, position, common_table, control)
        if not frames:  # browsers make room for the first frame, and cut off what later ones have outside
            width, height = max(width, frame.box[2]), max(height, frame.box[3])
        frames.append(frame)
        largest = max(largest[0], width, frame.width), max(largest[1], height, frame.height)
        check_frames(largest, len(frames), max_pixels)
        control = _Control()
    if not frames:
        raise EOFError("it has no frame")
    return Animation((width, height), tuple(frames), plays)


def _plays(loops: int) -> int:
    return loops and loops + 1  # the extension counts how often the first play is repeated; 0 is for ever


def _colour_table(content: bytes, position: int, flags: int) -> tuple[bytes, int]:
    end = position + (6 << (flags & 7) if flags & _HAS_TABLE else 0)
    return content[position:end], end


def _after_sub_blocks(content: bytes, position: int) -> int:
    while size := content[position]:
        position += size + 1
    return position + 1


def _read_control(blocks: bytes) -> _Control:
    _, flags, hundredths, transparent = struct.unpack_from("<BBHB", blocks)
    extension = b""
    if flags & _IS_TRANSPARENT:
        extension = bytes((0x21, _GRAPHIC_CONTROL, 4, _IS_TRANSPARENT, 0, 0, transparent, 0))
    return _Control(_DISPOSALS.get(flags >> 2 & 7, Disposal.KEEP), hundredths * 10, extension)


def _read_frame(content: bytes, position: int, common_table: bytes, control: _Control) -> tuple[Frame, int]:
    left, top, width, height, flags = struct.unpack_from("<HHHHB", content, position)
    own_table, position = _colour_table(content, position + 9, flags)
    end = _after_sub_blocks(content, position + 1)
    table = own_table or common_table
    table_flags = _HAS_TABLE | (len(table) // 6).bit_length() - 1 if table else 0
    single = b"".join(
        (
            b"GIF89a",
            struct.pack("<HHBBB", width, height, 0, 0, 0),
            control.extension,
            struct.pack("<cHHHHB", b",", 0, 0, width, height, table_flags | flags & _IS_INTERLACED),
            table,
            content[position:end],
            b";",
        )
    )
    frame = Frame(single, left, top, width, height, control.duration_ms, control.disposal)
    return frame, end

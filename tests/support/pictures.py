"""Pictures for tests, made in memory: sound ones of every kind, and those that nobody should open."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
Colour = tuple[int, int, int]

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"

_ORIENTATION = 0x0112
_GPS, _ARTIST = 0x8825, 0x013B
# How an upright picture is stored so that this orientation (TIFF 6.0, page 36) turns it upright again.
_AS_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def decoded(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def colour_at(image: Image.Image, x: float, y: float) -> Colour:
    """The colour at a place, given in parts of the width and the height."""
    red, green, blue = image.convert("RGB").getpixel((int(x * image.width), int(y * image.height)))  # type: ignore[misc]
    return red, green, blue


def is_near(one: Colour, other: Colour, tolerance: int = 40) -> bool:
    """Tell whether two colours are the same but for what an encoder loses."""
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def quarters(width: int = 80, height: int = 60) -> Image.Image:
    """Red and green above, blue and white below."""
    small = Image.new("RGB", (2, 2))
    for place, colour in (((0, 0), RED), ((1, 0), GREEN), ((0, 1), BLUE), ((1, 1), WHITE)):
        small.putpixel(place, colour)
    return small.resize((width, height), Image.Resampling.NEAREST)


def bands(width: int = 90, height: int = 30) -> Image.Image:
    """Red, green and blue from left to right."""
    small = Image.new("RGB", (3, 1))
    for x, colour in enumerate((RED, GREEN, BLUE)):
        small.putpixel((x, 0), colour)
    return small.resize((width, height), Image.Resampling.NEAREST)


def noise(width: int = 200, height: int = 150) -> Image.Image:
    """What no encoder can make small."""
    return Image.merge("RGB", [Image.effect_noise((width, height), 80) for _ in range(3)])


def turned(orientation: int, format: str = "JPEG") -> bytes:
    """`quarters` as a camera keeps it that was held so."""
    stored = quarters()
    if orientation in _AS_STORED:
        stored = stored.transpose(_AS_STORED[orientation])
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return encoded(stored, format, exif=exif)


def telltale() -> bytes:
    """A JPEG that says who made it and where, in EXIF, XMP and a comment; it says `Ada` each time."""
    exif = Image.Exif()
    exif[_ARTIST] = "Ada in EXIF"
    exif.get_ifd(_GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return encoded(quarters(), "JPEG", exif=exif, comment=b"Ada in a comment", xmp=b"<x>Ada in XMP</x>")


def artist(image: Image.Image) -> str | None:
    name: str | None = image.getexif().get(_ARTIST)
    return name


def has_place(image: Image.Image) -> bool:
    return bool(image.getexif().get_ifd(_GPS))


def animation(
    format: str, durations: Sequence[int] = (100, 200, 400), size: tuple[int, int] = (40, 30), **options: Any
) -> bytes:
    """A frame of another colour for each duration."""
    first, *rest = [Image.new("RGB", size, (40 + 60 * number, 90, 0)) for number in range(len(durations))]
    return encoded(first, format, save_all=True, append_images=rest, duration=list(durations), **options)


def durations(content: bytes) -> list[int]:
    """How long each frame of an animation stands, in milliseconds."""
    image, found = Image.open(BytesIO(content)), []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        found.append(int(image.info.get("duration", 0)))
    return found


def swapped_profile() -> bytes:
    """A profile by which red means blue and blue means red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")


def half_transparent_palette() -> bytes:
    """A palette PNG: its left half is red, its right half is nothing at all."""
    image = Image.new("P", (40, 20))
    image.putpalette([*RED, 0, 0, 0])
    image.paste(1, (20, 0, 40, 20))
    return encoded(image, "PNG", transparency=1)


def sixteen_bit() -> bytes:
    """A grey PNG of 16 bits, dark on the left and light on the right."""
    line = b"\x00\x40" * 20 + b"\x00\xc0" * 20
    image = Image.frombytes("I;16", (40, 20), line * 20)
    return encoded(image, "PNG")


def grey_png(bits: int, width: int, line: bytes, transparent: int) -> bytes:
    """A grey PNG of equal lines in which one grey is transparent."""
    return png(bits, 0, width, line, transparent.to_bytes(2, "big"))


def png(bits: int, colour_type: int, width: int, line: bytes, transparent: bytes) -> bytes:
    """A PNG of ten equal lines in which one colour is transparent."""
    head = struct.pack(">IIBBBBB", width, 10, bits, colour_type, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"tRNS", transparent),
        (b"IDAT", zlib.compress((b"\0" + line) * 10)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def declaring(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is of this size."""
    png = encoded(Image.new("L", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def webp_declaring(side: int) -> bytes:
    """A WebP of a few bytes that wants a canvas of this size."""
    plain = encoded(Image.new("RGB", (1, 1)), "WEBP")
    canvas = (side - 1).to_bytes(3, "little")
    chunks = b"WEBP" + b"VP8X" + struct.pack("<II", 10, 0x02) + canvas + canvas + plain[12:]
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def gif_with_frames_of(sizes: Sequence[tuple[int, int]]) -> bytes:
    """A GIF of one by one pixel whose frames may be larger than that."""
    return _gif(1, 1, sizes)


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """A small progressive JPEG that decodes its last scan again and again."""
    jpeg = encoded(Image.new("L", (width, height), 128), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    more = scans - jpeg.count(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * more + jpeg[-2:]


def tiff_with_tiles_of(side: int) -> bytes:
    """A TIFF of 16 by 16 pixels in one tile of this side."""
    data = zlib.compress(bytes(side * side))
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 0, 325: len(data)}
    tags[324] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def avif_of_larger_frames(side: int, frames: int) -> bytes:
    """An AVIF that says it is of 16 by 16 pixels, and has frames of this side."""
    avif = animation("AVIF", [100] * frames, (side, side), speed=10)
    for format in (">II", ">HH"):
        avif = avif.replace(struct.pack(format, side, side), struct.pack(format, 16, 16))
    return avif


def animation_bomb(width: int, height: int, frames: int) -> bytes:
    """A GIF of this many frames, each a single pixel on a canvas of this size."""
    return _gif(width, height, [(1, 1)] * frames)


def text_bomb() -> bytes:
    """A PNG with a comment that grows to 64 MiB when it is inflated."""
    png = encoded(Image.new("L", (1, 1)), "PNG")
    chunk = b"zTXtComment\0\0" + zlib.compress(bytes(64 * 1024 * 1024))
    return (
        png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    )


def _gif(width: int, height: int, frames: Sequence[tuple[int, int]]) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes((*RED, *BLUE))
    delay = b"\x21\xf9\x04\x08\x0a\x00\x00\x00"  # dispose to the background, 0.1 s
    pixel = b"\x02\x02\x44\x01\x00"
    body = b"".join(delay + b"," + struct.pack("<HHHHB", 0, 0, *size, 0) + pixel for size in frames)
    return head + body + b";"

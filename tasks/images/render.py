"""Opens pictures in memory, and rotates them upright, crops, resizes and encodes them.

The declared size is checked before a pixel is decoded; `tasks/images/checks.py` lists what is refused.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any

from PIL import Image, ImageOps, ImageSequence

from tasks.images.animation import Animation
from tasks.images.apng_reader import read_apng
from tasks.images.checks import (
    DECLARES,
    PictureRefusedError,
    check_frames,
    check_pixels,
    identify,
    refuse_errors,
    webp_size,
)
from tasks.images.colours import (
    has_soft_alpha,
    to_plain_colours,
    to_plain_mode,
    widen_transparent_colour,
    without_alpha,
)
from tasks.images.decoding_cost import DecodingClock, TimedFile, check_scans, check_tiles
from tasks.images.gif_reader import is_gif, read_gif
from tasks.images.gif_writer import encode_gif
from tasks.images.memory import (
    check_memory_to_draw,
    check_memory_to_open_webp,
    check_memory_to_read,
    check_memory_to_write,
)
from tasks.images.shapes import Crop, Format, Mode, Shape, save_options

MAX_WEBP_PLAYS = 0xFFFF
DEFAULT_DURATION_MS = 100


@dataclass(frozen=True)
class Picture:
    """An opened picture; `size` is upright, and frames are decoded when they are needed.

    `animation` has the frames of a GIF or PNG, `image` those of a WebP or AVIF. 0 `plays` are for ever.
    """

    image: Image.Image
    frames: int
    size: tuple[int, int]
    max_pixels: int
    plays: int = 0
    animation: Animation | None = None
    clock: DecodingClock = field(default_factory=DecodingClock)

    @property
    def format(self) -> str:
        name = self.image.format or ""
        return "jpeg" if name == "MPO" else name.lower()  # MPO is several JPEGs in one, made by phones


@dataclass(frozen=True)
class Rendered:
    """An encoded picture and its size in pixels."""

    content: bytes
    width: int
    height: int


def open_picture(content: bytes, max_pixels: int, shapes: Sequence[Shape] = ()) -> Picture:
    """Open a picture and check its declared size; `shapes` let a JPEG be decoded no larger than needed.

    Raises `PictureRefusedError`.
    """
    with refuse_errors("the picture is damaged or truncated"):
        if webp := webp_size(content):
            check_pixels(DECLARES, *webp, 1, max_pixels)
            check_memory_to_open_webp(webp[0] * webp[1])
        animation = read_gif(content, max_pixels) if is_gif(content) else None
        image = identify(TimedFile(content))
        check_pixels(DECLARES, image.width, image.height, 1, max_pixels)
        if image.format in ("JPEG", "MPO"):
            check_scans(content, image.size, max_pixels)
        check_tiles(image, max_pixels)
        widen_transparent_colour(image)
        size = _upright_size(image)
        _draft(image, size, shapes)
        check_memory_to_read(image.format, image.width * image.height)
        if image.get_format_mimetype() == "image/apng":
            animation = read_apng(content, max_pixels)
        if animation:
            return Picture(image, len(animation.frames), size, max_pixels, animation.plays, animation)
        frames = _count_frames(image, max_pixels) if image.format in ("WEBP", "AVIF") else 1
        if frames == 1:
            image.load()
    return Picture(image, frames, size, max_pixels, image.info.get("loop", 0))


def render(picture: Picture, shape: Shape) -> Rendered:
    """Return the picture in a shape; an animation stays animated if the format supports it.

    Raises `PictureRefusedError`.
    """
    with refuse_errors("the picture cannot be converted"):
        _check_target(picture, shape)
        frames, durations_ms = [], []
        for frame, duration_ms in _frames(picture, shape.format):
            frames.append(_apply_shape(frame, picture.size, shape))
            durations_ms.append(duration_ms or DEFAULT_DURATION_MS)
        content = _encode(frames, durations_ms, picture.plays, shape)
    return Rendered(content, frames[0].width, frames[0].height)


def _encode(frames: Sequence[Image.Image], durations_ms: Sequence[float], plays: int, shape: Shape) -> bytes:
    if shape.format is Format.GIF:
        return encode_gif(frames, durations_ms, plays)
    first, *rest = frames
    options = save_options(shape.format, shape.quality) | _metadata(first, shape)
    if rest:
        loop = min(plays, MAX_WEBP_PLAYS)
        options |= {"save_all": True, "append_images": rest, "duration": list(durations_ms), "loop": loop}
        if any(map(has_soft_alpha, frames)):
            # libwebp draws a soft pixel that stays as it is twice, unless each frame is drawn on its own.
            options |= {"kmin": 0, "kmax": 1}
    first.info = {}  # Pillow's writers would copy comments and other metadata from it
    target = BytesIO()
    first.save(target, format=shape.format.upper(), **options)
    return target.getvalue()


def _count_frames(image: Image.Image, max_pixels: int) -> int:
    frames: int = getattr(image, "n_frames", 1)
    check_frames(image.size, frames, max_pixels)
    return frames


def _upright_size(image: Image.Image) -> tuple[int, int]:
    # Pillow rotates a TIFF itself, and has swapped its width and height already.
    _drop_broken_exif(image)
    is_rotated = image.format != "TIFF" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if is_rotated else image.size


def _drop_broken_exif(image: Image.Image) -> None:
    try:
        Image.Exif().load(image.info.get("exif", b""))
    except (SyntaxError, ValueError, LookupError, struct.error):
        del image.info["exif"]


def _draft(image: Image.Image, size: tuple[int, int], shapes: Sequence[Shape]) -> None:
    # If no output needs more, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size for a fraction of the work.
    if image.format not in ("JPEG", "MPO") or not shapes or any(shape.crop for shape in shapes):
        return
    targets = [_target_size(size, shape) for shape in shapes]
    longest = max(max(width, height) for width, height in targets)
    scale = max(max(width / size[0], height / size[1]) for width, height in targets)
    if scale < 1:
        side = max(longest, int(max(size) * scale) + 1)
        image.draft(image.mode, (side, side))


def _frames(picture: Picture, format: Format) -> Iterator[tuple[Image.Image, float]]:
    frames = picture.animation.draw() if picture.animation else _decode(picture.image)
    number = picture.frames if format.has_animation else 1
    info = {name: value for name, value in picture.image.info.items() if name != "transparency"}
    for frame, duration_ms in picture.clock.limit(islice(frames, number)):
        if picture.animation:
            frame.info = info.copy()
        yield frame, duration_ms


def _decode(image: Image.Image) -> Iterator[tuple[Image.Image, float]]:
    for frame in ImageSequence.Iterator(image):
        frame.load()  # Pillow knows the frame's duration only then
        yield frame, frame.info.get("duration", 0)


def _check_target(picture: Picture, shape: Shape) -> None:
    if shape.crop is not None:
        _check_crop(picture.size, shape.crop)
    width, height = _target_size(picture.size, shape)
    if max(width, height) > shape.format.max_side:
        raise PictureRefusedError(
            f"the output would be {width} x {height}, and {shape.format} ends at {shape.format.max_side} "
            "pixels per side"
        )
    frames = picture.frames if shape.format.has_animation else 1
    check_pixels("the output would be", width, height, frames, picture.max_pixels)
    source_pixels = picture.image.width * picture.image.height
    if picture.animation:
        check_memory_to_draw(source_pixels)
    check_memory_to_write(shape.format, source_pixels, width * height, frames)


def _check_crop(size: tuple[int, int], crop: Crop) -> None:
    if crop.right > size[0] or crop.bottom > size[1]:
        raise PictureRefusedError(
            f"crop reaches to {crop.right} x {crop.bottom}, and the picture ends at {size[0]} x {size[1]}"
        )


def _apply_shape(frame: Image.Image, size: tuple[int, int], shape: Shape) -> Image.Image:
    upright = to_plain_mode(ImageOps.exif_transpose(frame))
    if shape.crop is not None:
        crop = shape.crop
        upright = upright.crop((crop.left, crop.top, crop.right, crop.bottom))
        size = upright.size
    target = _target_size(size, shape)
    if target != upright.size:
        upright = _resize(upright, target, shape.mode)
    plain = to_plain_colours(upright, keep_profile=_keeps_metadata(shape))
    return plain if shape.format.has_alpha else without_alpha(plain, shape.background)


def _target_size(size: tuple[int, int], shape: Shape) -> tuple[int, int]:
    width, height = (shape.crop and (shape.crop.width, shape.crop.height)) or size
    if shape.mode is not Mode.FIT and shape.width and shape.height:
        return shape.width, shape.height
    sides = ((shape.width, width), (shape.height, height))
    scales = [target_side / side for target_side, side in sides if target_side]
    scale = min(scales, default=1.0)
    if not shape.enlarge:
        scale = min(scale, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resize(image: Image.Image, target: tuple[int, int], mode: Mode) -> Image.Image:
    if mode is Mode.FILL:
        return ImageOps.fit(image, target, Image.Resampling.LANCZOS)
    return image.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _keeps_metadata(shape: Shape) -> bool:
    return not shape.strip_metadata and shape.format is not Format.GIF  # GIF cannot hold EXIF or profiles


def _metadata(image: Image.Image, shape: Shape) -> dict[str, Any]:
    if not _keeps_metadata(shape):
        return {}
    kept = {"icc_profile": image.info.get("icc_profile"), "exif": image.getexif().tobytes()}
    return {name: value for name, value in kept.items() if value}

"""Pictures in memory: opened with care, turned upright, cut, resized and encoded.

What a picture declares is checked before a pixel of it is decoded. Whatever else is wrong with it is a
`PictureRefusedError`; running out of memory is always a `MemoryError`.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms, ImageOps, ImageSequence, UnidentifiedImageError

from jobs.errors import Discard
from tasks.picture_shapes import Crop, Format, Mode, Shape, save_options

OPENED = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
FRAMES_LIMIT = 10_000

# Our own check counts frames too and comes first; Pillow's would warn, and warnings belong to nobody.
Image.MAX_IMAGE_PIXELS = None

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


class PictureRefusedError(Discard):
    """A picture that cannot, or must not, be converted."""


@dataclass(frozen=True)
class Picture:
    """An opened picture: upright frames are made from `image` as they are needed."""

    image: Image.Image
    frames: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """An encoded picture and its size in pixels."""

    content: bytes
    width: int
    height: int


def open_picture(content: bytes, max_pixels: int, shapes: Sequence[Shape] = ()) -> Picture:
    """Open a picture and check what it declares; `shapes` let a JPEG be decoded no larger than needed.

    Raises `PictureRefusedError`.
    """
    if not content:
        raise PictureRefusedError("the picture has zero bytes")
    with _refusing("the picture cannot be read"):
        image = Image.open(BytesIO(content), formats=OPENED)
        _check_pixels(image.width, image.height, 1, max_pixels)
        frames = _count_frames(image, max_pixels)
        size = _upright_size(image)
        _draft(image, size, shapes)
        if frames == 1:
            image.load()
    return Picture(image, frames, size)


def render(picture: Picture, shape: Shape) -> Rendered:
    """Return the picture in a shape; an animation stays one where the format can be one.

    Raises `PictureRefusedError`.
    """
    with _refusing("the picture cannot be converted"):
        frames = [_shaped(frame, picture.size, shape) for frame in _frames(picture, shape.format)]
        first, rest = frames[0], frames[1:]
        options = save_options(shape.format, shape.quality) | _metadata(first, shape)
        if rest:
            options |= {"save_all": True, "append_images": rest, "duration": _durations(picture), "loop": 0}
        target = BytesIO()
        first.save(target, format=shape.format.upper(), **options)
    return Rendered(target.getvalue(), first.width, first.height)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, which does not hurt the picture
            yield
    except (PictureRefusedError, MemoryError):
        raise
    except UnidentifiedImageError:
        names = ", ".join(OPENED)
        raise PictureRefusedError(
            f"{what}: it is none of {names} (its content counts, not its name)"
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly every kind
        if "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        raise PictureRefusedError(f"{what}: {error or type(error).__name__}") from error


def _check_pixels(width: int, height: int, frames: int, max_pixels: int) -> None:
    if width * height * frames > max_pixels:
        times = f" x {frames} frames" if frames > 1 else ""
        raise PictureRefusedError(
            f"the picture declares {width} x {height}{times} pixels, and at most {max_pixels} in all are "
            "taken (JOBYARD_IMAGES__MAX_PIXELS)"
        )


def _count_frames(image: Image.Image, max_pixels: int) -> int:
    # Frame by frame, and not by n_frames, which would walk through all of a bomb first.
    count = 1
    if not getattr(image, "is_animated", False):
        return count
    while True:
        try:
            image.seek(count)
        except EOFError:
            break
        count += 1
        _check_pixels(image.width, image.height, count, max_pixels)
        if count > FRAMES_LIMIT:
            raise PictureRefusedError(f"the picture has more than {FRAMES_LIMIT} frames")
    image.seek(0)
    return count


def _upright_size(image: Image.Image) -> tuple[int, int]:
    is_on_its_side = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if is_on_its_side else image.size


def _draft(image: Image.Image, size: tuple[int, int], shapes: Sequence[Shape]) -> None:
    # A JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the work, where no output needs more.
    if image.format != "JPEG" or not shapes or any(shape.crop for shape in shapes):
        return
    wanted = [_target(size, shape) for shape in shapes]
    longest = max(max(width, height) for width, height in wanted)
    scale = max(max(width / size[0], height / size[1]) for width, height in wanted)
    if scale < 1:
        side = max(longest, int(max(size) * scale) + 1)
        image.draft(image.mode, (side, side))


def _frames(picture: Picture, format: Format) -> Iterator[Image.Image]:
    if picture.frames > 1 and format.has_animation:
        yield from ImageSequence.Iterator(picture.image)
    else:
        picture.image.seek(0)
        yield picture.image


def _durations(picture: Picture) -> list[int]:
    return [int(frame.info.get("duration", 100)) for frame in ImageSequence.Iterator(picture.image)]


def _shaped(frame: Image.Image, size: tuple[int, int], shape: Shape) -> Image.Image:
    upright = _in_plain_colours(ImageOps.exif_transpose(frame), strip=shape.strip_metadata)
    if shape.crop is not None:
        upright = _cut(upright, shape.crop)
        size = upright.size
    target = _target(size, shape)
    if target != upright.size:
        upright = _resized(upright, target, shape.mode)
    return upright if shape.format.has_alpha else _without_alpha(upright, shape.background)


def _in_plain_colours(image: Image.Image, *, strip: bool) -> Image.Image:
    info = image.info
    profile = info.get("icc_profile") if strip else None
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode in ("P", "PA", "LA", "La", "RGBa") or (image.mode == "RGB" and "transparency" in info):
        has_alpha = image.mode != "P" or "transparency" in info
        image = image.convert("RGBA" if has_alpha else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        image = _in_srgb(image, profile)
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode=target) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile says nothing about the colours


def _cut(image: Image.Image, crop: Crop) -> Image.Image:
    right, bottom = crop.left + crop.width, crop.top + crop.height
    if right > image.width or bottom > image.height:
        raise PictureRefusedError(
            f"crop reaches to {right} x {bottom}, and the picture ends at {image.width} x {image.height}"
        )
    return image.crop((crop.left, crop.top, right, bottom))


def _target(size: tuple[int, int], shape: Shape) -> tuple[int, int]:
    width, height = (shape.crop and (shape.crop.width, shape.crop.height)) or size
    if shape.mode is not Mode.FIT and shape.width and shape.height:
        return shape.width, shape.height
    scales = [wanted / has for wanted, has in ((shape.width, width), (shape.height, height)) if wanted]
    scale = min(scales, default=1.0)
    if not shape.enlarge:
        scale = min(scale, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: Image.Image, target: tuple[int, int], mode: Mode) -> Image.Image:
    if mode is Mode.FILL:
        return ImageOps.fit(image, target, Image.Resampling.LANCZOS)
    return image.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _without_alpha(image: Image.Image, background: str) -> Image.Image:
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, background)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _metadata(image: Image.Image, shape: Shape) -> dict[str, Any]:
    if shape.strip_metadata:
        return {"exif": b"", "icc_profile": None} if shape.format is not Format.GIF else {}
    kept = {"icc_profile": image.info.get("icc_profile"), "exif": image.getexif().tobytes()}
    return {name: value for name, value in kept.items() if value} if shape.format is not Format.GIF else {}

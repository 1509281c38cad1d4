"""The shape of an output picture: its format, its size, and how it is resized."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from jobyard import Payload

MAX_SIDE = 16_383  # WebP's limit, and the smallest of the five formats'

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Format(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    GIF = "gif"

    @property
    def media_type(self) -> str:
        return f"image/{self}"

    @property
    def has_quality(self) -> bool:
        return self in (Format.JPEG, Format.WEBP, Format.AVIF)

    @property
    def has_alpha(self) -> bool:
        return self is not Format.JPEG

    @property
    def max_side(self) -> int:
        return _MAX_SIDES.get(self, 2**31 - 1)

    @property
    def has_animation(self) -> bool:
        return self in (Format.GIF, Format.WEBP)


_MAX_SIDES = {Format.JPEG: 65_500, Format.WEBP: MAX_SIDE, Format.AVIF: 65_535, Format.GIF: 65_535}
_DEFAULT_QUALITY = {Format.JPEG: 85, Format.WEBP: 80, Format.AVIF: 60}


def save_options(format: Format, quality: int | None) -> dict[str, Any]:
    """Return Pillow's options for a format; quality is 1 to 100, or None for the format's default."""
    quality = quality or _DEFAULT_QUALITY.get(format)
    match format:
        case Format.JPEG:
            return {"quality": quality, "optimize": True, "progressive": True}
        case Format.WEBP:
            return {"quality": quality, "method": 4}
        case Format.AVIF:
            return {"quality": quality, "speed": 7}
        case Format.PNG:
            return {"optimize": False, "compress_level": 6}
        case Format.GIF:
            return {}


class Mode(StrEnum):
    FIT = "fit"
    FILL = "fill"
    EXACT = "exact"


class Crop(Payload):
    """A part of the upright picture, in pixels from its top left."""

    left: int = Field(0, ge=0)
    top: int = Field(0, ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height


class Shape(Payload):
    """One output: first cropped by `crop`, then resized to `width` and `height` by `mode`."""

    format: Format
    width: Side | None = None
    height: Side | None = None
    mode: Mode = Field(Mode.FIT, description="fit: inside the box; fill: cover it and crop; exact: stretch.")
    enlarge: bool = Field(False, description="Whether `fit` may make a picture larger than it is.")
    crop: Crop | None = None
    quality: int | None = Field(None, ge=1, le=100, description="For jpeg, webp and avif.")
    strip_metadata: bool = Field(
        True,
        description="Drop all metadata and convert colours to sRGB; false keeps EXIF and the colour profile.",
    )
    background: str = Field(
        "#ffffff", pattern=r"^#[0-9a-fA-F]{6}$", description="For jpeg: the colour behind transparent pixels."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.mode is not Mode.FIT and not (self.width and self.height):
            raise ValueError(f"mode {self.mode} needs both width and height")
        if self.quality is not None and not self.format.has_quality:
            raise ValueError(f"{self.format} has no quality: leave it out")
        return self

"""Converts colours: any pixels to grey, RGB or RGBA, profiles to sRGB, transparency onto a background."""

from io import BytesIO

from PIL import Image, ImageCms, ImageFile

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_WIDENED_GREYS = {"L;2": 255 // 3, "L;4": 255 // 15}
_SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB"}


def widen_transparent_colour(image: ImageFile.ImageFile) -> None:
    """Give the transparent colour of a PNG the depth of its pixels, before they are loaded.

    Pillow widens grey of 2 and 4 bits to 8, keeps the higher 8 of a colour's 16, and leaves the transparent
    one as it is in the file.
    """
    transparent, rawmode = image.info.get("transparency"), image.tile[0].args if image.tile else None
    if transparent is None or image.format != "PNG":
        return
    if rawmode in _WIDENED_GREYS:
        image.info["transparency"] = transparent * _WIDENED_GREYS[rawmode] & 0xFF
    elif rawmode == "RGB;16B":
        image.info["transparency"] = tuple(channel >> 8 for channel in transparent)


def to_plain_mode(image: Image.Image) -> Image.Image:
    """Return the picture in 8-bit grey, RGB, RGBA or CMYK, which can all be resized."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        return _to_eight_bits(image)
    if image.mode == "1" and not image.has_transparency_data:
        return image.convert("L")
    mode = "RGBA" if image.has_transparency_data else image.mode
    mode = mode if mode in (*_SPACES, "CMYK") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def to_plain_colours(image: Image.Image, *, keep_profile: bool) -> Image.Image:
    """Return the picture in grey, RGB or RGBA, with colours converted to sRGB by its profile.

    With `keep_profile` the colours and the profile stay unchanged, if the profile fits the pixels.
    """
    profile = _read(image.info.get("icc_profile"))
    if profile and keep_profile and _SPACES.get(image.mode) == profile.profile.xcolor_space.strip():
        return image
    info = {name: value for name, value in image.info.items() if name != "icc_profile"}
    image = _to_srgb(image, profile) if profile else image
    image.info = info
    return image if image.mode in _SPACES else image.convert("RGB")


def has_soft_alpha(image: Image.Image) -> bool:
    """Tell whether any pixel is neither opaque nor transparent."""
    return image.mode == "RGBA" and any(image.getchannel("A").histogram()[1:255])


def without_alpha(image: Image.Image, background: str) -> Image.Image:
    """Return the picture on a background (`#rrggbb`)."""
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, background)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _to_eight_bits(image: Image.Image) -> Image.Image:
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 256)).convert("L")
    transparent = image.info.get("transparency")
    if transparent is None:
        return grey
    alpha = wide.point([255 * (value != transparent) for value in range(1 << 16)], "L")
    return Image.merge("RGBA", (grey, grey, grey, alpha))


def _read(profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else None
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # the colours are left as they are where the profile is broken


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        return ImageCms.profileToProfile(image, profile, _SRGB, outputMode=mode) or image
    except (ImageCms.PyCMSError, ValueError):
        return image  # the profile is for other kinds of pixels

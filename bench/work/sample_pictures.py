"""Pictures like photographs and drawings, made here, for `bench.pictures` and `bench.converting`."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageChops, ImageCms, ImageDraw

_ORIENTATION = 0x0112
_FRAMES = 24


def make_all(folder: Path) -> list[Path]:
    """Write the pictures into a folder and return their paths; a name begins with what is special."""
    return [path for path in _make(folder)]


def make_photos(folder: Path) -> Path:
    """Write JPEGs of 2, 6 and 12 megapixels into a new folder, and return that."""
    folder.mkdir()
    for width, height in ((1600, 1200), (3000, 2000), (4000, 3000)):
        _photo(width, height).save(folder / f"{width}x{height}.jpg", quality=90)
    return folder


def _make(folder: Path) -> Iterator[Path]:
    large = _photo(6000, 4000)
    middle = large.resize((4032, 3024), Image.Resampling.BICUBIC)
    small = large.resize((3000, 2000), Image.Resampling.BICUBIC)

    yield (path := folder / "2-megapixels.jpg")
    large.resize((1600, 1200), Image.Resampling.BICUBIC).save(path, quality=88)
    yield (path := folder / "12-megapixels-turned.jpg")
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    middle.save(path, quality=90, exif=exif)
    yield (path := folder / "24-megapixels.jpg")
    large.save(path, quality=90)
    yield (path := folder / "24-megapixels-progressive-profile.jpg")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    large.save(path, quality=90, progressive=True, icc_profile=profile)
    yield (path := folder / "alpha.png")
    _with_alpha(small.resize((2000, 1500))).save(path)
    yield (path := folder / "palette.png")
    _drawing(2400, 1600).quantize(64).save(path)
    yield (path := folder / "16-bit-grey.png")
    small.convert("L").convert("I").point(lambda value: value * 257).convert("I;16").save(path)
    yield (path := folder / "12-megapixels.webp")
    middle.save(path, quality=85)
    yield (path := folder / "6-megapixels.avif")
    small.save(path, quality=70, speed=9)
    yield (path := folder / f"{_FRAMES}-frames.gif")
    _animate(path)


def _photo(width: int, height: int) -> Image.Image:
    sky = Image.linear_gradient("L").resize((width, height))
    light = Image.radial_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (sky, light, ImageChops.invert(sky)))
    for part, strength in ((64, 0.35), (8, 0.25), (1, 0.08)):  # hills, leaves, grain
        shapes = [Image.effect_noise((width // part, height // part), 90) for _ in range(3)]
        rough = Image.merge("RGB", shapes).resize((width, height), Image.Resampling.BICUBIC)
        picture = Image.blend(picture, rough, strength)
    return picture


def _with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(ImageChops.invert(Image.radial_gradient("L").resize(image.size)))
    return image


def _drawing(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for step in range(60):
        left, top = step * 37 % width, step * 53 % height
        colour = (step * 4 % 256, step * 7 % 256, step * 11 % 256)
        draw.ellipse((left, top, left + 400, top + 300), fill=colour, outline="black", width=5)
    return image


def _animate(path: Path) -> None:
    wide = _photo(1200, 480)
    frames = [wide.crop((step * 20, 0, step * 20 + 640, 480)).quantize(128) for step in range(_FRAMES)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, loop=0)

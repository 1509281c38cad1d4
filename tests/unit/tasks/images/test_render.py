"""What becomes of a picture: its sides, its colours, its frames, and what it told about its maker."""

from io import BytesIO

import pytest
from PIL import Image, ImageCms

from tasks.images.render import Picture, open_picture, render
from tasks.images.shapes import Format, Shape
from tests.support.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    animation,
    artist,
    colour_at,
    decoded,
    durations,
    encoded,
    grey_png,
    half_transparent_palette,
    has_place,
    is_near,
    noise,
    png,
    quarters,
    sixteen_bit,
    swapped_profile,
    telltale,
    turned,
)

MAX_PIXELS = 1_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")


def opened(content: bytes) -> Picture:
    return open_picture(content, MAX_PIXELS)


def made(content: bytes, format: str = "png", **shape: object) -> Image.Image:
    return decoded(rendered(content, format, **shape))


def rendered(content: bytes, format: str = "png", **shape: object) -> bytes:
    return render(opened(content), Shape.model_validate({"format": format, **shape})).content


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("format", Format)
def test_every_format_becomes_every_other(source: str, format: Format) -> None:
    image = made(encoded(quarters(), source), format)
    assert (image.format or "").lower() == format
    assert image.size == (80, 60)
    places = {(0.25, 0.25): RED, (0.75, 0.25): GREEN, (0.25, 0.75): BLUE, (0.75, 0.75): WHITE}
    for place, colour in places.items():
        assert is_near(colour_at(image, *place), colour), (place, colour_at(image, *place))


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_a_lower_quality_makes_a_smaller_file(format: str) -> None:
    picture = encoded(noise(), "PNG")
    sizes = [len(rendered(picture, format, quality=quality)) for quality in (10, 50, 95)]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_picture_held_in_any_way_stands_upright(source: str, orientation: int) -> None:
    picture = opened(turned(orientation, source))
    assert picture.size == (80, 60)
    result = render(picture, Shape(format=Format.PNG, width=40))
    image = decoded(result.content)
    assert (result.width, result.height) == image.size == (40, 30)
    corners = [colour_at(image, x, y) for y in (0.2, 0.8) for x in (0.2, 0.8)]
    assert all(map(is_near, corners, (RED, GREEN, BLUE, WHITE))), corners
    assert 0x0112 not in image.getexif()


@pytest.mark.parametrize("format", Format)
def test_a_converted_picture_says_nothing_about_its_maker(format: Format) -> None:
    content = rendered(telltale(), format)
    image = decoded(content)
    assert b"Ada" not in content
    assert not image.getexif()
    assert "icc_profile" not in image.info


def test_a_gif_loses_its_comment() -> None:
    assert b"Ada" not in rendered(encoded(quarters(), "GIF", comment=b"Ada"), "gif")


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif"])
def test_metadata_is_kept_where_that_is_asked_for(format: str) -> None:
    image = made(telltale(), format, width=40, strip_metadata=False)
    assert artist(image) == "Ada in EXIF"
    assert has_place(image)


def test_kept_metadata_does_not_turn_the_picture_a_second_time() -> None:
    image = made(turned(6), "jpeg", strip_metadata=False)
    assert image.size == (80, 60)
    assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("strip", [True, False])
def test_damaged_metadata_does_not_hurt_the_picture(source: str, strip: bool) -> None:
    picture = encoded(quarters(), source, exif=b"Exif\0\0neither fish nor flesh")
    assert made(picture, "jpeg", strip_metadata=strip).size == (80, 60)


@pytest.mark.parametrize("format", Format)
def test_a_colour_profile_becomes_srgb(format: Format) -> None:
    image = made(encoded(Image.new("RGB", (40, 30), RED), "PNG", icc_profile=swapped_profile()), format)
    assert is_near(colour_at(image, 0.5, 0.5), BLUE)
    assert "icc_profile" not in image.info


def test_a_colour_profile_leaves_transparency_alone() -> None:
    image = made(encoded(Image.new("RGBA", (40, 30), (*RED, 0)), "PNG", icc_profile=swapped_profile()))
    assert image.getpixel((5, 5)) == (0, 0, 255, 0)


def test_a_colour_profile_is_kept_with_the_metadata() -> None:
    profile = swapped_profile()
    picture = encoded(Image.new("RGB", (40, 30), RED), "PNG", icc_profile=profile)
    image = made(picture, "webp", strip_metadata=False)
    assert image.info["icc_profile"] == profile
    assert is_near(colour_at(image, 0.5, 0.5), RED)


def test_a_gif_has_no_place_for_a_profile_and_so_gets_the_colours() -> None:
    picture = encoded(Image.new("RGB", (40, 30), RED), "PNG", icc_profile=swapped_profile())
    assert is_near(colour_at(made(picture, "gif", strip_metadata=False), 0.5, 0.5), BLUE)


@pytest.mark.parametrize("profile", [b"no profile at all", swapped_profile()[:200]])
def test_a_broken_profile_does_not_hurt_the_picture(profile: bytes) -> None:
    image = made(encoded(quarters(), "JPEG", icc_profile=profile), "jpeg")
    assert is_near(colour_at(image, 0.25, 0.25), RED)


def test_a_profile_for_other_pixels_is_neither_used_nor_kept() -> None:
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = made(encoded(quarters().convert("CMYK"), "JPEG", icc_profile=rgb), "jpeg", strip_metadata=False)
    assert image.mode == "RGB"
    assert "icc_profile" not in image.info
    assert is_near(colour_at(image, 0.25, 0.25), RED)


@pytest.mark.parametrize("source", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(source: str) -> None:
    image = made(encoded(quarters().convert("CMYK"), source), "webp")
    assert is_near(colour_at(image, 0.25, 0.25), RED)
    assert is_near(colour_at(image, 0.75, 0.25), GREEN)


@pytest.mark.parametrize("format", Format)
def test_sixteen_bits_become_eight_and_keep_their_shades(format: Format) -> None:
    image = made(sixteen_bit(), format)
    assert is_near(colour_at(image, 0.25, 0.5), (64, 64, 64), 6)
    assert is_near(colour_at(image, 0.75, 0.5), (192, 192, 192), 6)


@pytest.mark.parametrize("format", Format)
def test_one_bit_becomes_black_and_white(format: Format) -> None:
    stripe = Image.new("1", (40, 20), 0)
    stripe.paste(1, (20, 0, 40, 20))
    image = made(encoded(stripe, "PNG"), format)
    assert is_near(colour_at(image, 0.25, 0.5), (0, 0, 0), 6)
    assert is_near(colour_at(image, 0.75, 0.5), WHITE, 6)


def test_a_small_one_bit_picture_gets_greys_between() -> None:
    pixels = Image.frombytes("1", (64, 64), b"\x55" * 512)
    assert is_near(colour_at(made(encoded(pixels, "PNG"), width=8), 0.5, 0.5), (127, 127, 127), 12)


@pytest.mark.parametrize("format", ["png", "webp", "avif", "gif"])
def test_transparency_is_kept_where_there_is_a_place_for_it(format: str) -> None:
    image = made(half_transparent_palette(), format).convert("RGBA")
    assert image.getpixel((5, 5))[3] == 255  # type: ignore[index]
    assert image.getpixel((35, 5))[3] == 0  # type: ignore[index]


def test_transparency_is_laid_onto_the_background() -> None:
    image = made(half_transparent_palette(), "jpeg", background="#00ff00", quality=95)
    assert is_near(colour_at(image, 0.2, 0.5), RED)
    assert is_near(colour_at(image, 0.8, 0.5), GREEN)


def test_the_background_is_white_where_none_is_named() -> None:
    assert is_near(colour_at(made(half_transparent_palette(), "jpeg"), 0.8, 0.5), WHITE)


def test_half_of_the_light_comes_through_what_is_half_transparent() -> None:
    image = made(encoded(Image.new("RGBA", (40, 30), (0, 0, 0, 128)), "PNG"), "jpeg")
    assert is_near(colour_at(image, 0.5, 0.5), (127, 127, 127), 4)


@pytest.mark.parametrize(("mode", "black"), [("L", 0), ("1", 0), ("RGB", (0, 0, 0))])
def test_one_transparent_colour_is_transparency_too(mode: str, black: int) -> None:
    picture = encoded(Image.new(mode, (40, 30), black), "PNG", transparency=black)
    assert is_near(colour_at(made(picture, "jpeg"), 0.5, 0.5), WHITE)


@pytest.mark.parametrize("format", ["png", "webp", "avif", "gif", "jpeg"])
def test_one_of_sixteen_bits_of_grey_is_transparency_too(format: str) -> None:
    # 0x1234 and 0x1235 are the same in eight bits.
    line = b"".join(value.to_bytes(2, "big") * 10 for value in (0x1234, 0x1235, 0x8000, 0xFFFF))
    image = made(grey_png(16, 40, line, transparent=0x1234), format)
    if format == "jpeg":
        assert is_near(colour_at(image, 0.1, 0.5), WHITE)
    else:
        assert [image.convert("RGBA").getpixel((x, 5))[3] for x in (5, 15, 25, 35)] == [0, 255, 255, 255]  # type: ignore[index]
    assert is_near(colour_at(image, 0.4, 0.5), (18, 18, 18))
    assert is_near(colour_at(image, 0.6, 0.5), (128, 128, 128))


@pytest.mark.parametrize(
    ("bits", "line", "transparent"),
    [(2, b"\x00" * 4 + b"\x55" * 4 + b"\xff" * 4, 1), (4, b"\x22" * 8 + b"\x55" * 8 + b"\xff" * 8, 5)],
)
def test_one_of_few_bits_of_grey_is_transparency_too(bits: int, line: bytes, transparent: int) -> None:
    image = made(grey_png(bits, 48, line, transparent))
    assert [image.getpixel((x, 5))[3] for x in (5, 20, 40)] == [255, 0, 255]  # type: ignore[index]


def test_one_colour_of_sixteen_bits_is_transparency_too() -> None:
    line = b"\x12\x34\x56\x78\x9a\xbc" * 20 + b"\xff\x00\x00\x00\x00\x00" * 20
    image = made(png(16, 2, 40, line, b"\xff\x00\x00\x00\x00\x00"))
    assert [image.getpixel((x, 5))[3] for x in (5, 35)] == [255, 0]  # type: ignore[index]


@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("format", ["gif", "webp"])
def test_an_animation_stays_one_in_gif_and_webp(source: str, format: str) -> None:
    content = rendered(animation(source), format, width=20)
    assert durations(content) == [100, 200, 400]
    assert decoded(content).size == (20, 15)


@pytest.mark.parametrize("source", ["GIF", "WEBP"])
@pytest.mark.parametrize("format", ["jpeg", "png", "avif"])
def test_the_other_formats_get_the_first_frame(source: str, format: str) -> None:
    content = rendered(animation(source), format)
    assert len(durations(content)) == 1
    assert is_near(colour_at(decoded(content), 0.5, 0.5), (40, 90, 0), 12)


def test_the_first_frame_is_found_again_after_the_last() -> None:
    picture = opened(animation("WEBP"))
    whole = render(picture, Shape(format=Format.WEBP))
    still = render(picture, Shape(format=Format.PNG))
    again = render(picture, Shape(format=Format.WEBP))
    assert is_near(colour_at(decoded(still.content), 0.5, 0.5), (40, 90, 0), 12)
    assert durations(again.content) == durations(whole.content)


@pytest.mark.parametrize("source", ["MPO", "TIFF"])
def test_several_pictures_in_a_file_are_no_animation(source: str) -> None:
    small = Image.new("RGB", (20, 10), BLUE)
    picture = opened(encoded(quarters(), source, save_all=True, append_images=[small]))
    image = decoded(render(picture, Shape(format=Format.WEBP)).content)
    assert picture.frames == 1
    assert len(durations(render(picture, Shape(format=Format.GIF)).content)) == 1
    assert is_near(colour_at(image, 0.25, 0.25), RED)


def test_a_phones_jpeg_with_more_pictures_in_it_is_called_a_jpeg() -> None:
    both = encoded(quarters(), "MPO", save_all=True, append_images=[quarters(20, 10)])
    assert (Image.open(BytesIO(both)).format, opened(both).format) == ("MPO", "jpeg")

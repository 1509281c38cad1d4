"""How a picture comes to its size: fit, fill, exact and crop; and shapes that make no sense."""

import pytest
from PIL import Image
from pydantic import ValidationError

from tasks.images.render import open_picture, render
from tasks.images.shapes import MAX_SIDE, Format, Shape
from tests.support.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    bands,
    colour_at,
    decoded,
    encoded,
    is_near,
    quarters,
)


def shaped(image: Image.Image, source: str = "PNG", /, **shape: object) -> Image.Image:
    wanted = Shape.model_validate({"format": "png", **shape})
    picture = open_picture(encoded(image, source), 50_000_000, [wanted])
    result = render(picture, wanted)
    found = decoded(result.content)
    assert found.size == (result.width, result.height)
    return found


def complaint(**shape: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Shape.model_validate({"format": "png", **shape})
    return str(refused.value)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ({}, (80, 60)),
        ({"width": 40}, (40, 30)),
        ({"height": 15}, (20, 15)),
        ({"width": 40, "height": 40}, (40, 30)),
        ({"width": 70, "height": 30}, (40, 30)),
        ({"width": 1}, (1, 1)),
    ],
)
def test_fit_keeps_the_proportions_and_stays_in_the_box(box: dict[str, int], size: tuple[int, int]) -> None:
    assert shaped(quarters(80, 60), **box).size == size


def test_fit_shows_all_of_the_picture() -> None:
    image = shaped(bands(90, 30), width=30, height=30)
    assert image.size == (30, 10)
    assert [colour_at(image, x, 0.5) for x in (0.1, 0.5, 0.9)] == [RED, GREEN, BLUE]


def test_fit_makes_no_picture_larger() -> None:
    assert shaped(quarters(80, 60), width=800).size == (80, 60)
    assert shaped(quarters(80, 60), width=800, height=30).size == (40, 30)


def test_fit_makes_a_picture_larger_where_that_is_asked_for() -> None:
    assert shaped(quarters(80, 60), width=160, enlarge=True).size == (160, 120)


def test_the_thinnest_picture_keeps_a_pixel() -> None:
    assert shaped(Image.new("L", (1000, 1)), width=10).size == (10, 1)


@pytest.mark.parametrize("size", [(30, 30), (300, 300), (7, 20)])
def test_fill_covers_the_box_and_cuts_what_sticks_out(size: tuple[int, int]) -> None:
    image = shaped(bands(90, 30), width=size[0], height=size[1], mode="fill")
    assert image.size == size
    assert all(is_near(colour_at(image, x, y), GREEN) for x in (0.2, 0.8) for y in (0.1, 0.9))


def test_exact_stretches() -> None:
    image = shaped(bands(90, 30), width=30, height=60, mode="exact")
    assert image.size == (30, 60)
    assert [colour_at(image, x, 0.5) for x in (0.1, 0.5, 0.9)] == [RED, GREEN, BLUE]


def test_exact_makes_a_picture_larger() -> None:
    assert shaped(quarters(8, 6), width=80, height=80, mode="exact").size == (80, 80)


def test_crop_cuts_a_part_out() -> None:
    image = shaped(quarters(80, 60), crop={"left": 40, "top": 30, "width": 40, "height": 30})
    assert image.size == (40, 30)
    assert image.convert("RGB").getcolors() == [(1200, WHITE)]


def test_crop_comes_before_the_size() -> None:
    image = shaped(bands(90, 30), crop={"left": 30, "width": 30, "height": 30}, width=10)
    assert image.size == (10, 10)
    assert is_near(colour_at(image, 0.5, 0.5), GREEN)


def test_crop_counts_on_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    on_its_side = encoded(bands(90, 30).transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    wanted = Shape.model_validate(
        {"format": "png", "crop": {"left": 60, "top": 0, "width": 30, "height": 30}}
    )
    image = decoded(render(open_picture(on_its_side, 1_000_000, [wanted]), wanted).content)
    assert is_near(colour_at(image, 0.5, 0.5), BLUE)


def test_crop_may_take_all_of_the_picture() -> None:
    assert shaped(quarters(80, 60), crop={"width": 80, "height": 60}).size == (80, 60)


@pytest.mark.parametrize("source", ["JPEG", "MPO"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ({"width": 99}, (99, 25)),
        ({"width": 50, "height": 50, "mode": "fill"}, (50, 50)),
        ({"width": 700, "height": 50, "mode": "exact"}, (700, 50)),
        ({"width": 3, "height": 3}, (3, 1)),
    ],
)
def test_a_jpeg_that_is_decoded_smaller_comes_to_the_same_size(
    source: str, shape: dict[str, object], size: tuple[int, int]
) -> None:
    assert shaped(quarters(1601, 401), source, **shape).size == size


def test_a_jpeg_is_decoded_as_large_as_the_largest_output_needs() -> None:
    shapes = [Shape(format=Format.PNG, width=10), Shape(format=Format.PNG, width=500)]
    picture = open_picture(encoded(quarters(1600, 1200), "JPEG"), 50_000_000, shapes)
    assert picture.image.width == 800
    assert picture.size == (1600, 1200)


def test_a_jpeg_is_decoded_whole_for_a_crop() -> None:
    shape = Shape.model_validate({"format": "png", "width": 10, "crop": {"width": 10, "height": 10}})
    assert open_picture(encoded(quarters(1600, 1200), "JPEG"), 50_000_000, [shape]).image.width == 1600


@pytest.mark.parametrize("mode", ["fill", "exact"])
@pytest.mark.parametrize("box", [{}, {"width": 10}, {"height": 10}])
def test_fill_and_exact_need_both_sides(mode: str, box: dict[str, int]) -> None:
    assert f"mode {mode} needs both width and height" in complaint(mode=mode, **box)


@pytest.mark.parametrize("format", ["png", "gif"])
def test_a_format_without_quality_takes_none(format: str) -> None:
    assert f"{format} has no quality: leave it out" in complaint(format=format, quality=80)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("width", -1),
        ("height", MAX_SIDE + 1),
        ("quality", 0),
        ("quality", 101),
        ("mode", "stretch"),
        ("format", "svg"),
        ("background", "white"),
        ("background", "#fff"),
        ("background", "#ffffff\n"),
        ("crop", {"width": 1, "height": 0}),
        ("crop", {"left": -1, "width": 1, "height": 1}),
        ("crop", {"width": 1}),
        ("blur", True),
    ],
)
def test_a_shape_that_cannot_be_is_refused_and_named(name: str, value: object) -> None:
    shape = {"format": "jpeg", name: value}
    assert name in complaint(**shape)

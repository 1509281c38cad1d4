"""One picture to a WebP of 1200 pixels and a thumbnail of 200 x 200, as `image.convert` does it."""

from bench.work.picture_turn import take_turn
from tasks.images.render import open_picture, render
from tasks.images.shapes import Format, Mode, Shape

MAX_PIXELS = 50_000_000
SHAPES = (
    Shape(format=Format.WEBP, width=1200),
    Shape(format=Format.JPEG, width=200, height=200, mode=Mode.FILL),
)


def convert(content: bytes) -> list[bytes]:
    picture = open_picture(content, MAX_PIXELS, SHAPES)
    return [render(picture, shape).content for shape in SHAPES]


if __name__ == "__main__":
    take_turn(convert)

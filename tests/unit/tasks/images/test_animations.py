"""An animation keeps its frames, colours, transparency, durations and plays, whatever it is converted to."""

import zlib
from collections.abc import Callable, Sequence
from io import BytesIO

import pytest
from PIL import Image

from tasks.images.gif_reader import read_gif
from tasks.images.render import open_picture, render
from tasks.images.shapes import Format, Shape
from tests.support.animations import (
    CELL,
    CELLS,
    CLEAR,
    COLOURS,
    SIDE,
    Drawing,
    Rgba,
    as_apng,
    as_gif,
    as_webp,
    cells,
    drawings,
    seen,
)

MAX_PIXELS = 1_000_000
RED, BLUE = COLOURS[0], COLOURS[2]
Cells = list[Rgba]
Source = Callable[[Sequence[Drawing]], bytes]
SOURCES: dict[str, Source] = {
    "gif": as_gif,
    "gif-of-one-palette": lambda frames: as_gif(frames, one_palette=True),
    "apng": as_apng,
    "apng-with-palette": lambda frames: as_apng(frames, has_palette=True),
    "apng-with-its-own-still": lambda frames: as_apng(frames, has_own_still=True),
    "webp": as_webp,
}
DISPOSALS = [(0,) * 4, (1,) * 4, (2,) * 4, (3,) * 4, (0, 2, 0, 1, 0), (1, 3, 2, 0, 3, 1), (3, 3, 2, 2, 0)]


def converted(content: bytes, format: str, width: int | None = None, quality: int | None = None) -> bytes:
    shape = Shape(format=Format(format), width=width, quality=quality)
    return render(open_picture(content, MAX_PIXELS), shape).content


def shown(content: bytes) -> tuple[list[Cells], list[float]]:
    """The cells and the durations of a GIF's or a WebP's frames."""
    if content.startswith(b"GIF"):
        frames = [(cells(frame), duration) for frame, duration in read_gif(content, MAX_PIXELS).draw()]
    else:
        image, frames = Image.open(BytesIO(content)), []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append((cells(image), image.info["duration"]))
    return [frame for frame, _ in frames], [duration for _, duration in frames]


def plays(content: bytes) -> int:
    """How often an animation is played, 0 for ever, by the bytes of its file."""
    if content.startswith(b"GIF"):
        at = content.find(b"NETSCAPE2.0\3\1")
        loops = int.from_bytes(content[at + 13 : at + 15], "little")
        return 1 if at < 0 else loops and loops + 1
    at = content.index(b"ANIM") + 12
    return int.from_bytes(content[at : at + 2], "little")


def is_seen(found: Sequence[Cells], expected: Sequence[Cells], tolerance: int) -> bool:
    """Tell whether frames are equal, but for the tolerance in alpha and in what it leaves of each colour."""
    return len(found) == len(expected) and all(
        abs(a - b) <= tolerance
        for one_frame, other_frame in zip(found, expected, strict=True)
        for one, other in zip(one_frame, other_frame, strict=True)
        for a, b in zip(light(one), light(other), strict=True)
    )


def light(cell: Rgba) -> list[float]:
    return [channel * cell[3] / 255 for channel in cell[:3]] + [cell[3]]


def hard(frames: Sequence[Cells]) -> list[Cells]:
    """What a GIF can hold of frames: at least half opaque is opaque."""
    return [[(*cell[:3], 255) if cell[3] >= 128 else CLEAR for cell in frame] for frame in frames]


def whole(colour: Rgba, duration_ms: int = 100) -> Drawing:
    return Drawing(0, 0, ((colour,) * CELLS,) * CELLS, duration_ms=duration_ms)


def possible(source: str, disposals: Sequence[int]) -> Sequence[int]:
    return [0 if number == 3 else number for number in disposals] if source == "webp" else disposals


@pytest.mark.parametrize("disposals", DISPOSALS)
@pytest.mark.parametrize("is_blended", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_every_frame_is_what_a_browser_shows(source: str, is_blended: bool, disposals: Sequence[int]) -> None:
    is_blended = is_blended or source.startswith("gif")
    frames = drawings(len(source), possible(source, disposals), is_blended=is_blended)
    content, expected = SOURCES[source](frames), seen(frames)
    assert len({tuple(frame) for frame in expected}) > 1
    gif, durations_ms = shown(converted(content, "gif"))
    assert gif == expected
    assert durations_ms == [frame.duration_ms for frame in frames]
    webp, durations_ms = shown(converted(content, "webp", quality=95))
    assert is_seen(webp, expected, 30)
    assert durations_ms == [frame.duration_ms for frame in frames]
    assert is_seen(shown(converted(content, "gif", width=SIDE // 2))[0], expected, 30)
    assert is_seen(shown(converted(content, "webp", width=SIDE // 2, quality=95))[0], expected, 30)
    assert cells(Image.open(BytesIO(converted(content, "png")))) == expected[0]


@pytest.mark.parametrize("is_blended", [True, False])
@pytest.mark.parametrize("source", [name for name in SOURCES if not name.startswith("gif")])
def test_soft_transparency_is_kept_in_webp_and_decided_in_gif(source: str, is_blended: bool) -> None:
    for disposals in DISPOSALS:
        frames = drawings(7, possible(source, disposals), is_blended=is_blended, soft=True)
        content, expected = SOURCES[source](frames), seen(frames)
        assert any(0 < cell[3] < 255 for frame in expected for cell in frame)
        assert is_seen(shown(converted(content, "gif"))[0], hard(expected), 3)
        assert is_seen(shown(converted(content, "webp", quality=95))[0], expected, 30)


def test_a_soft_pixel_that_stays_is_not_drawn_twice_in_webp() -> None:
    # One cell after the other changes beside a soft one.
    soft = (20, 240, 20, 200)
    frames = [
        Drawing(0, 0, ((soft, colour) * 2,) * CELLS, 1, is_blended=False) for colour in (*COLOURS, *COLOURS)
    ]
    for frame in shown(converted(as_apng(frames), "webp", quality=90))[0]:
        assert [abs(cell[3] - 200) < 10 for cell in frame[::2]] == [True] * 8


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0, CLEAR), (60, CLEAR), (127, CLEAR), (128, (0, 0, 0, 255)), (255, (0, 0, 0, 255))],
)
def test_a_still_gif_has_no_shadows(alpha: int, expected: Rgba) -> None:
    target = BytesIO()
    image = Image.new("RGBA", (SIDE, SIDE), RED)
    image.paste((0, 0, 0, alpha), (CELL, CELL, 3 * CELL, 3 * CELL))
    image.save(target, "PNG")
    found = cells(Image.open(BytesIO(converted(target.getvalue(), "gif"))))
    assert (found[0], found[5]) == (RED, expected)


@pytest.mark.parametrize("times", [0, 1, 2, 5])
@pytest.mark.parametrize("format", ["gif", "webp"])
def test_an_animation_is_played_as_often_as_before(format: str, times: int) -> None:
    frames = drawings(1, (0, 1))
    # A GIF counts how often the first play is repeated, the others count the plays.
    loops = {0: 0, 1: None}.get(times, times - 1)
    for content in (as_gif(frames, loops), as_apng(frames, times), as_webp(frames, times)):
        assert plays(converted(content, format)) == times


@pytest.mark.parametrize(("source", "format", "times"), [("webp", "gif", 65_535), ("apng", "webp", 65_535)])
def test_more_plays_than_a_format_can_say_are_the_most_it_can(source: str, format: str, times: int) -> None:
    frames = drawings(1, (0, 1))
    content = as_webp(frames, 65_535) if source == "webp" else as_apng(frames, 2**31)
    assert plays(converted(content, format)) == times


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_durations_that_a_format_cannot_hold_add_up_to_the_same(format: str) -> None:
    frames = [whole(COLOURS[number % 6], duration_ms=33) for number in range(60)]
    durations_ms = shown(converted(as_apng(frames), format))[1]
    assert abs(sum(durations_ms) - 60 * 33) <= 10
    assert set(durations_ms) <= {30, 33, 40}


def test_a_gifs_short_frame_is_not_rounded_to_what_browsers_show_for_100_ms() -> None:
    frames = [whole(RED, duration_ms=12), whole(BLUE, duration_ms=10), whole(RED, duration_ms=14)]
    assert shown(converted(as_apng(frames), "gif"))[1] == [20, 10, 20]


def test_a_frame_without_a_duration_gets_one_and_a_very_long_one_ends() -> None:
    content = as_apng([whole(RED, duration_ms=0), whole(BLUE, duration_ms=40)])
    assert shown(converted(content, "webp"))[1] == [100, 40]
    assert shown(converted(as_webp([whole(RED, duration_ms=2**24 - 1), whole(BLUE)]), "gif"))[1][0] == 655_350


def test_the_same_frame_twice_is_two_frames() -> None:
    content = as_apng([whole(RED), whole(RED), whole(BLUE)])
    assert shown(converted(content, "gif")) == (seen([whole(RED), whole(RED), whole(BLUE)]), [100] * 3)


def test_a_gif_of_256_colours_loses_none() -> None:
    colours = [(red, green, 64 * blue) for red in range(8) for green in range(8) for blue in range(4)]
    images = []
    for turn in (0, 100):
        images.append(Image.new("RGB", (16, 16)))
        images[-1].putdata(colours[turn:] + colours[:turn])
    content = BytesIO()
    images[0].save(content, "PNG", save_all=True, append_images=images[1:])
    drawn = read_gif(converted(content.getvalue(), "gif"), MAX_PIXELS).draw()
    assert [frame.convert("RGB").tobytes() for frame, _ in drawn] == [image.tobytes() for image in images]


def test_an_opaque_gif_that_names_a_transparent_colour_stays_opaque() -> None:
    frames = [whole(RED), whole(BLUE)]
    assert b"!\xf9\x04\x01" in as_gif(frames)
    image = Image.open(BytesIO(converted(as_gif(frames), "png")))
    assert (image.mode, cells(image)) == ("RGB", seen(frames)[0])


def test_a_first_frame_beyond_the_screen_makes_room_and_a_later_one_is_cut_off() -> None:
    small = bytearray(as_gif([whole(RED), Drawing(3, 3, ((BLUE,) * 2,) * 2)]))
    small[6:10] = bytes((CELL, 0, CELL, 0))  # the screen's width and height
    picture = open_picture(bytes(small), MAX_PIXELS)
    assert picture.size == (SIDE, SIDE)
    found = shown(render(picture, Shape(format=Format.GIF)).content)[0]
    assert found == [[RED] * 16, [RED] * 15 + [BLUE]]


def test_what_a_gif_has_between_its_frames_is_skipped() -> None:
    content = as_gif([whole(RED), whole(BLUE)])
    at = content.index(b"!\xf9", 40)
    odd = content[:at] + b"\0\0" + b"!\xfe\3one\3two\0" + b"!\x01\2xy\0" + content[at:-1]
    assert shown(converted(odd, "gif"))[0] == seen([whole(RED), whole(BLUE)])


@pytest.mark.parametrize("said", [1, 2, 9])
def test_frames_of_a_png_are_those_it_has_and_no_more_than_it_says(said: int) -> None:
    content = bytearray(as_apng([whole(RED), whole(BLUE), whole(RED)]))
    at = content.index(b"acTL")
    body = b"acTL" + said.to_bytes(4, "big") + bytes(4)
    content[at : at + 16] = body + zlib.crc32(body).to_bytes(4, "big")
    assert open_picture(bytes(content), MAX_PIXELS).frames == min(said, 3)

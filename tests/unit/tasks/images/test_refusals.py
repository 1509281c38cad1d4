"""What is no picture, or too much of one, is refused in words; a lack of memory is never called damage."""

import os
import signal
import subprocess
import sys
from threading import Timer
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image

from jobyard.jobs.errors import Discard
from tasks.images import decoding_cost
from tasks.images.checks import FRAMES_LIMIT, PictureRefusedError, webp_size
from tasks.images.decoding_cost import count_scans
from tasks.images.render import open_picture, render
from tasks.images.shapes import Crop, Format, Mode, Shape
from tests.support.pictures import (
    EPS,
    SVG,
    animation,
    animation_bomb,
    avif_of_larger_frames,
    declaring,
    encoded,
    gif_with_frames_of,
    jpeg_of_scans,
    noise,
    quarters,
    text_bomb,
    tiff_with_tiles_of,
    webp_declaring,
)
from tests.support.processes import ROOT

MAX_PIXELS = 1_000_000
ORDINARY = Shape(format=Format.PNG)


def refusal(content: bytes, shape: Shape = ORDINARY) -> str:
    with pytest.raises(PictureRefusedError) as refused:
        render(open_picture(content, MAX_PIXELS, [shape]), shape)
    return str(refused.value)


def test_a_refused_picture_is_never_tried_again() -> None:
    assert issubclass(PictureRefusedError, Discard)


def test_zero_bytes_are_no_picture() -> None:
    assert refusal(b"") == "the picture has zero bytes"


@pytest.mark.parametrize("content", [b"just words", b"%PDF-1.7\n", b"\x00" * 100, b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_told_what_would_be(content: bytes) -> None:
    words = refusal(content)
    assert "none of JPEG, PNG, WEBP, AVIF, GIF, TIFF, BMP" in words
    assert "its content counts, not its name" in words


@pytest.mark.parametrize("content", [SVG, SVG.removeprefix(b'<?xml version="1.0"?>\n'), b"\n" + SVG])
def test_an_svg_is_called_an_svg(content: bytes) -> None:
    assert "an SVG drawing, and only JPEG" in refusal(content)


@pytest.mark.parametrize("content", [EPS, b"\xc5\xd0\xd3\xc6" + bytes(26) + EPS])
def test_an_eps_is_called_an_eps(content: bytes) -> None:
    assert "an EPS or PostScript program, and only JPEG" in refusal(content)


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_a_truncated_picture_is_called_damaged_or_truncated(format: str, part: float) -> None:
    whole = encoded(noise(), format)
    assert "damaged or truncated" in refusal(whole[: int(len(whole) * part)])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_a_truncated_animation_is_refused(format: str) -> None:
    whole = animation(format, [100] * 20)
    words = refusal(whole[: len(whole) * 9 // 10], Shape(format=Format.WEBP))
    assert "truncated" in words


@pytest.mark.parametrize("size", [(1001, 1000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_that_declares_too_many_pixels_is_refused_unread(size: tuple[int, int]) -> None:
    words = refusal(declaring(*size))
    assert "declares" in words
    assert "at most 1000000 in all are allowed (JOBYARD_IMAGES__MAX_PIXELS)" in words


def test_the_declared_size_is_named() -> None:
    assert "declares 1001 x 1000 pixels" in refusal(declaring(1001, 1000))


def test_as_many_pixels_as_may_be_are_taken() -> None:
    assert open_picture(encoded(Image.new("1", (1000, 1000)), "PNG"), MAX_PIXELS).size == (1000, 1000)


def test_a_webp_is_refused_before_it_takes_memory_for_its_canvas() -> None:
    assert "declares 16383 x 16383 pixels" in refusal(webp_declaring(16_383))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}])
def test_the_size_of_a_webp_is_read_from_each_of_its_kinds(options: dict[str, Any]) -> None:
    assert webp_size(encoded(quarters(80, 60), "WEBP", **options)) == (80, 60)
    assert webp_size(animation("WEBP", size=(40, 30))) == (40, 30)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8X", SVG])
def test_what_is_hardly_a_webp_is_refused_like_any(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize("number", [0, 1])
def test_a_gif_whose_frame_is_larger_than_its_screen_is_refused_before_there_is_room(number: int) -> None:
    words = refusal(gif_with_frames_of([(60_000, 60_000) if at == number else (1, 1) for at in range(2)]))
    assert "declares 60000 x 60000" in words


def test_the_pixels_of_an_animation_are_counted_in_all_frames() -> None:
    words = refusal(animation_bomb(600, 600, frames=3))
    assert "declares 600 x 600 x 3 frames pixels" in words


def test_an_animation_is_counted_no_further_than_needed() -> None:
    assert "x 3 frames" in refusal(animation_bomb(600, 600, frames=5000))


def test_an_animation_of_tiny_frames_has_an_end_too() -> None:
    assert f"more than {FRAMES_LIMIT} frames" in refusal(animation_bomb(1, 1, frames=FRAMES_LIMIT + 1))


def test_a_jpeg_whose_scans_go_over_too_many_pixels_is_refused() -> None:
    words = refusal(jpeg_of_scans(200, 100, 5001))
    assert "declares 200 x 100 pixels in 5001 scans" in words
    assert "at most 100000000 pixels in all scans are decoded (100 times JOBYARD_IMAGES__MAX_PIXELS)" in words


def test_a_jpeg_of_as_many_scans_as_may_be_is_taken() -> None:
    assert open_picture(jpeg_of_scans(200, 100, 5000), MAX_PIXELS).size == (200, 100)


@pytest.mark.parametrize(("progressive", "scans"), [(False, 1), (True, 10)])
def test_the_scans_of_a_jpeg_are_counted_and_those_of_its_thumbnail_are_not(
    progressive: bool, scans: int
) -> None:
    picture = encoded(noise(), "JPEG", progressive=progressive)
    thumbnail = encoded(noise(40, 30), "JPEG", progressive=True)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert count_scans(picture) == scans
    assert count_scans(picture[:2] + segment + b"\xff" * 9 + picture[2:] + thumbnail) == scans


def test_tiles_far_larger_than_the_picture_are_refused() -> None:
    words = refusal(tiff_with_tiles_of(16_384))
    assert "the tiles of the picture have 16384 x 16384 pixels, and at most 1000000" in words
    assert open_picture(tiff_with_tiles_of(512), MAX_PIXELS).size == (16, 16)


def test_a_picture_of_millions_of_parts_is_given_up_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = encoded(quarters(), "JPEG")
    padded = picture[:2] + b"\xff" * (1 << 20) + picture[2:]
    assert open_picture(padded, MAX_PIXELS).size == (80, 60)
    monkeypatch.setattr(decoding_cost, "DECODING_SECONDS", 0.2)
    assert "takes more than 0.2 s to decode, far more than its pixels need" in refusal(padded)


def test_frames_that_are_larger_inside_than_they_say_are_given_up_at_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deceptive = avif_of_larger_frames(2048, 4)
    assert open_picture(deceptive, MAX_PIXELS).size == (16, 16)
    assert render(open_picture(deceptive, MAX_PIXELS), Shape(format=Format.GIF)).width == 16
    monkeypatch.setattr(decoding_cost, "DECODING_SECONDS", 0.005)
    assert "far more than its pixels need" in refusal(deceptive, Shape(format=Format.GIF))


def test_the_time_to_decode_is_that_of_all_outputs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_cost, "DECODING_SECONDS", 0.5)
    picture = open_picture(avif_of_larger_frames(2048, 4), MAX_PIXELS)
    with pytest.raises(PictureRefusedError, match=r"takes more than 0\.5 s"):  # noqa: PT012 (one of them)
        for _ in range(1000):
            render(picture, Shape(format=Format.GIF))


def test_a_picture_whose_comment_is_a_bomb_is_refused() -> None:
    assert len(text_bomb()) < 100_000
    assert "too large" in refusal(text_bomb())


@pytest.mark.parametrize(
    "crop",
    [
        {"left": 80, "width": 1, "height": 1},
        {"width": 81, "height": 60},
        {"top": 31, "width": 80, "height": 30},
        {"left": 10**9, "top": 10**9, "width": 10**9, "height": 10**9},
    ],
)
def test_a_crop_outside_the_picture_is_refused(crop: dict[str, int]) -> None:
    words = refusal(encoded(quarters(80, 60), "PNG"), Shape(format=Format.PNG, crop=Crop(**crop)))
    assert "crop reaches to" in words
    assert "the picture ends at 80 x 60" in words


@pytest.mark.parametrize("source", [encoded(quarters(), "PNG"), animation("GIF")])
def test_an_output_of_too_many_pixels_is_refused(source: bytes) -> None:
    words = refusal(source, Shape(format=Format.WEBP, width=1001, height=1000, mode=Mode.EXACT))
    assert "the output would be 1001 x 1000" in words
    assert "JOBYARD_IMAGES__MAX_PIXELS" in words


@pytest.mark.parametrize(("format", "side"), [("webp", 16_383), ("gif", 65_535), ("jpeg", 65_500)])
def test_an_output_that_its_format_cannot_hold_is_refused(format: str, side: int) -> None:
    long = encoded(Image.new("L", (side + 1, 2)), "PNG")
    words = refusal(long, Shape(format=Format(format)))
    assert words == f"the output would be {side + 1} x 2, and {format} ends at {side} pixels per side"


def test_a_time_limit_in_the_middle_of_the_work_stays_one() -> None:
    def ring(*_: object) -> None:
        raise SoftTimeLimitExceeded

    picture = open_picture(encoded(noise(400, 300), "PNG"), MAX_PIXELS)
    before = signal.signal(signal.SIGUSR1, ring)  # as the worker's child is told
    bell = Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with pytest.raises(SoftTimeLimitExceeded):  # noqa: PT012 (whichever of them it falls into)
            bell.start()
            while True:
                render(picture, ORDINARY)
    finally:
        bell.cancel()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's memory is Linux's")
@pytest.mark.parametrize(
    ("source", "format"),
    [
        ("png", "jpeg"),
        ("png", "png"),
        ("png", "webp"),
        ("png", "avif"),
        ("jpeg", "gif"),
        ("jpeg", "jpeg"),
        ("webp", "png"),
        ("gif", "gif"),
        ("apng", "webp"),
    ],
)
def test_a_sound_picture_is_never_called_damaged_for_lack_of_memory(source: str, format: str) -> None:
    program = [sys.executable, "-m", "tests.support.short_of_memory", source, format]
    # What is freed goes back at once, so that the room is no larger than it is meant to be.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    ran = subprocess.run(
        program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr  # nor does the process end over it
    outcomes = ran.stdout.split()
    assert outcomes[0] == "made"
    assert set(outcomes) == {"made", "MemoryError"}, outcomes

"""One picture to a WebP of 1200 pixels and a thumbnail of 200 x 200 by libvips, to the same options.

It is decoded once, no larger than needed, as libvips does it best. This module imports nothing but pyvips, so
that it runs in any environment that has it.
"""

from typing import Any

import pyvips  # type: ignore[import-not-found, unused-ignore]

from bench.work.picture_turn import take_turn

ANY_HEIGHT = 10_000_000


def convert(content: bytes) -> list[bytes]:
    large = pyvips.Image.thumbnail_buffer(
        content,
        1200,
        height=ANY_HEIGHT,
        size="down",
        output_profile="srgb",
        # Here, and not as an option of `thumbnail_buffer`, which a truncated JPEG passes.
        option_string=f"[fail_on=truncated{',n=-1' if content[:4] in (b'GIF8', b'RIFF') else ''}]",
    ).copy_memory()
    return [large.webpsave_buffer(Q=80, effort=4, keep="none"), _thumbnail(large)]


def _thumbnail(large: Any) -> bytes:
    first = large.crop(0, 0, large.width, large.get_page_height())
    small = first.thumbnail_image(200, height=200, crop="centre")
    if small.hasalpha():
        small = small.flatten(background=255)
    encoded: bytes = small.jpegsave_buffer(Q=85, optimize_coding=True, interlace=True, keep="none")
    return encoded


if __name__ == "__main__":
    take_turn(convert)

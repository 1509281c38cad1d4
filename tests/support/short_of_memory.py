"""Converts a sound picture with less and less room: `python -m tests.support.short_of_memory png avif`.

Of a `gif` or an `apng` it makes an animation.

Prints a line for each try: `made`, or the class of what was raised.
"""

import resource
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from tasks.images.render import open_picture, render
from tasks.images.shapes import Format, Shape

PIXELS = (1500, 1000)
ROOM_MIB = (400, 100, 70, 50, 35, 25, 18, 12, 8, 5, 3)


def main(source: str, format: str) -> None:
    target = BytesIO()
    first = Image.linear_gradient("L").resize(PIXELS).convert("RGB")
    is_animated = source in ("gif", "apng")
    rest = [first.rotate(180)] if is_animated else []
    options = {"save_all": True, "append_images": rest} if is_animated else {"progressive": True}
    first.save(target, source.upper().replace("APNG", "PNG"), **options)
    print(_outcome(target.getvalue(), format))  # once with all the room there is, so that all is loaded
    for room in ROOM_MIB:
        _leave_room(room * 1024 * 1024)
        print(_outcome(target.getvalue(), format))


def _leave_room(size: int) -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + size, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _outcome(content: bytes, format: str) -> str:
    try:
        render(open_picture(content, 50_000_000), Shape(format=Format(format)))
        return "made"
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:])

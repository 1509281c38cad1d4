"""An animation as its file describes it, and its frames as they are seen.

Pillow decodes single frames, and they are put together here. Pillow itself draws the frames of a palette PNG
black, lets a GIF's disposal last longer than its frame, and mixes soft transparency wrongly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from io import BytesIO

from PIL import Image

from tasks.images.checks import refuse_errors
from tasks.images.colours import to_plain_mode, widen_transparent_colour


class Disposal(Enum):
    """What becomes of a frame's place before the next frame is drawn."""

    KEEP = auto()
    CLEAR = auto()
    RESTORE = auto()


@dataclass(frozen=True)
class Frame:
    """One drawing of an animation: an encoded picture of its own, its place, and how it is drawn.

    `is_blended` draws it over what stands there, otherwise it replaces that.
    """

    content: bytes
    left: int
    top: int
    width: int
    height: int
    duration_ms: float
    disposal: Disposal
    is_blended: bool = True

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True)
class Animation:
    """The size of the canvas, at least one frame, and how often they are played; 0 plays for ever."""

    size: tuple[int, int]
    frames: tuple[Frame, ...]
    plays: int

    def draw(self) -> Iterator[tuple[Image.Image, float]]:
        """Yield what is seen at each frame, in RGB or RGBA, and its duration in milliseconds."""
        canvas = Image.new("RGBA", self.size)
        for frame in self.frames:
            before = canvas.copy() if frame.disposal is Disposal.RESTORE else canvas
            _draw_onto(canvas, frame)
            yield _without_unused_alpha(canvas), frame.duration_ms
            canvas = before
            if frame.disposal is Disposal.CLEAR:
                canvas.paste((0, 0, 0, 0), frame.box)


def _draw_onto(canvas: Image.Image, frame: Frame) -> None:
    if not (frame.width and frame.height):
        return
    with refuse_errors("a frame of the picture is damaged or truncated"):
        picture = Image.open(BytesIO(frame.content), formats=("GIF", "PNG"))
        widen_transparent_colour(picture)
        drawing = to_plain_mode(picture).convert("RGBA")
    if frame.is_blended:
        canvas.alpha_composite(drawing, (frame.left, frame.top))
    else:
        canvas.paste(drawing, frame.box)


def _without_unused_alpha(canvas: Image.Image) -> Image.Image:
    is_opaque = canvas.getchannel("A").getextrema() == (255, 255)
    return canvas.convert("RGB") if is_opaque else canvas.copy()

"""`image.convert`: one picture in, one or several out, in other sizes and formats."""

from pathlib import PurePath
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from jobyard.fetching.fetch import TemporaryFetchError, fetch
from jobyard.jobs.errors import Discard, FileNotStoredError, FileTooLargeError
from jobyard.jobs.files.store import get_files
from jobyard.settings.queues import Queue
from jobyard.settings.settings import get_settings
from jobyard.tasks.payload import FileId, Payload
from jobyard.tasks.task import task
from jobyard.worker.execution.event_loop import run_coroutine
from tasks.collect.task import PageUrl
from tasks.images.render import Rendered, open_picture, render
from tasks.images.shapes import Format, Shape

OutputName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f\x7f]+$")]


class Source(Payload):
    """Where the picture is: the id of an uploaded file, or a public URL."""

    file: FileId | None = None
    url: PageUrl | None = None

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise ValueError("give either file or url")
        return self


class Output(Shape):
    """One picture to make."""

    name: OutputName | None = Field(
        None, description="Default: the source's name, the number and the format."
    )


class Convert(Payload):
    """A picture and what to make of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": {"file": "01890a5d-ac96-774b-bcce-b302099a8057"},
                    "outputs": [
                        {"format": "webp", "width": 1200},
                        {"format": "jpeg", "width": 200, "height": 200},
                    ],
                }
            ]
        }
    )

    source: Source
    # Not `min_length`, by which pydantic calls a tuple empty whose entries it has refused.
    outputs: tuple[Output, ...] = Field(json_schema_extra={"minItems": 1})

    @field_validator("outputs")
    @classmethod
    def _are_some_and_not_too_many(cls, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        most = get_settings().images.max_outputs
        if not 1 <= len(outputs) <= most:
            raise ValueError(
                f"{len(outputs)} outputs, and one job makes 1 to {most} (JOBYARD_IMAGES__MAX_OUTPUTS)"
            )
        return outputs


class Made(Payload):
    """One picture that was made."""

    file: str
    name: str
    format: Format
    media_type: str
    width: int
    height: int
    size: int


class Converted(Payload):
    """The source as it was found (upright), and the pictures, in the order of the outputs."""

    source_format: str
    source_width: int
    source_height: int
    frames: int
    outputs: tuple[Made, ...]


@task(
    "image.convert",
    queue=Queue.IMAGES,
    autoretry_for=(TemporaryFetchError,),
    max_retries=2,
    retry_backoff=5,
    time_limit=120,
)
def convert_image(order: Convert) -> Converted:
    """Convert a picture: JPEG, PNG, WebP, AVIF or GIF in any size, several outputs in one job.

    Orientation from EXIF is applied first. An animation stays one in GIF and WebP; the other formats get
    its first frame.
    """
    name, content = _read(order.source)
    picture = open_picture(content, get_settings().images.max_pixels, order.outputs)
    # All of them before the first is kept, so that a job that fails leaves no file behind.
    rendered = [_within_limit(number, render(picture, output)) for number, output in enumerate(order.outputs)]
    made = [
        _make(output, content, f"{PurePath(name).stem or 'picture'}-{number}")
        for number, (output, content) in enumerate(zip(order.outputs, rendered, strict=True), 1)
    ]
    width, height = picture.size
    return Converted(
        source_format=picture.format,
        source_width=width,
        source_height=height,
        frames=picture.frames,
        outputs=tuple(made),
    )


def _read(source: Source) -> tuple[str, bytes]:
    if source.url is not None:
        limit = get_settings().files.max_bytes
        fetched = run_coroutine(fetch(source.url, max_bytes=limit))
        return PurePath(urlsplit(fetched.url).path).name, fetched.body
    files, file_id = get_files(), source.file or ""
    try:
        return files.describe(file_id).name, files.read(file_id)
    except FileNotStoredError as error:
        raise Discard(f"source: {error}") from error


def _within_limit(number: int, rendered: Rendered) -> Rendered:
    limit = get_settings().files.max_bytes
    if len(rendered.content) > limit:
        raise Discard(f"outputs.{number}: {FileTooLargeError(limit)}")
    return rendered


def _make(output: Output, rendered: Rendered, default_name: str) -> Made:
    format = output.format
    name = output.name or f"{default_name}.{format}"
    stored = get_files().save(rendered.content, name=name, media_type=format.media_type)
    return Made(
        file=stored.id,
        name=stored.name,
        format=format,
        media_type=format.media_type,
        width=rendered.width,
        height=rendered.height,
        size=stored.size,
    )

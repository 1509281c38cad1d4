"""The payload and the result of `image.convert`."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from config.settings import ImagesSettings
from jobyard import FileId, Payload, get_section
from tasks.collect.page_url import PageUrl
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
    """A picture and the outputs to make from it."""

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
    # Not `min_length`: pydantic would also report a tuple as empty when it has refused its entries.
    outputs: tuple[Output, ...] = Field(json_schema_extra={"minItems": 1})

    @field_validator("outputs")
    @classmethod
    def _check_number(cls, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        max_outputs = get_section(ImagesSettings).max_outputs
        if not 1 <= len(outputs) <= max_outputs:
            raise ValueError(
                f"{len(outputs)} outputs, and one job makes 1 to {max_outputs} (JOBYARD_IMAGES__MAX_OUTPUTS)"
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
    """The source's format and upright size, and the pictures in the order of the outputs."""

    source_format: str
    source_width: int
    source_height: int
    frames: int
    outputs: tuple[Made, ...]

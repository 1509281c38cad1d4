"""What `image.convert` takes, and what it refuses before a job is accepted."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.images.payload import Convert
from tasks.images.task import convert_image
from tests.support.changed_settings import changed_settings

FILE = "01890a5d-ac96-774b-bcce-b302099a8057"
THUMBNAIL = {"format": "webp", "width": 200}


def complaint(payload: Any) -> tuple[str, str]:
    """The place and the words of the one thing that is wrong."""
    with pytest.raises(ValidationError) as refused:
        Convert.model_validate(payload)
    (error,) = refused.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"]


def order(source: Any = None, outputs: Any = (THUMBNAIL,)) -> dict[str, Any]:
    return {"source": {"file": FILE} if source is None else source, "outputs": outputs}


def test_the_documented_example_is_accepted() -> None:
    examples = convert_image.definition.payload_schema["examples"]
    assert examples
    for example in examples:
        Convert.model_validate(example)


def test_a_picture_may_come_from_a_file_or_a_url() -> None:
    assert Convert.model_validate(order({"file": FILE})).source.file == FILE
    assert Convert.model_validate(order({"url": "https://example.org/a.png"})).source.url


@pytest.mark.parametrize("source", [{}, {"file": FILE, "url": "https://example.org/a.png"}])
def test_a_picture_comes_from_one_place(source: dict[str, str]) -> None:
    place, words = complaint(order(source))
    assert place == "source"
    assert "give either file or url" in words


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ({"file": "../../etc/passwd"}, "source.file"),
        ({"file": ""}, "source.file"),
        ({"file": 7}, "source.file"),
        ({"url": "file:///etc/passwd"}, "source.url"),
        ({"url": "not a URL"}, "source.url"),
        ({"url": "https://user:secret@example.org/"}, "source.url"),
        ({"file": FILE, "page": 2}, "source.page"),
    ],
)
def test_a_source_that_cannot_be_is_refused_at_its_field(source: dict[str, Any], place: str) -> None:
    assert complaint(order(source))[0] == place


def test_there_is_at_least_one_output() -> None:
    place, words = complaint(order(outputs=[]))
    assert place == "outputs"
    assert "0 outputs" in words


def test_the_number_of_outputs_has_an_end_that_can_be_set() -> None:
    with changed_settings(IMAGES__MAX_OUTPUTS="2"):
        Convert.model_validate(order(outputs=[THUMBNAIL] * 2))
        place, words = complaint(order(outputs=[THUMBNAIL] * 3))
    assert place == "outputs"
    assert "3 outputs, and one job makes 1 to 2 (JOBYARD_IMAGES__MAX_OUTPUTS)" in words


@pytest.mark.parametrize("name", ["a.webp", "Köln am Rhein.webp", "..webp", "x" * 200])
def test_an_output_may_be_named(name: str) -> None:
    assert Convert.model_validate(order(outputs=[{**THUMBNAIL, "name": name}])).outputs[0].name == name


@pytest.mark.parametrize("name", ["", "a/b.webp", "a\\b.webp", "a\nb.webp", "x" * 201])
def test_a_name_is_no_path_and_has_no_control_characters(name: str) -> None:
    assert complaint(order(outputs=[{**THUMBNAIL, "name": name}]))[0] == "outputs.0.name"


def test_a_wrong_output_is_named_by_its_number() -> None:
    wrong = {"format": "png", "quality": 80}
    assert complaint(order(outputs=[THUMBNAIL, wrong]))[0] == "outputs.1"


@pytest.mark.parametrize("missing", ["source", "outputs"])
def test_nothing_may_be_missing(missing: str) -> None:
    payload = {name: value for name, value in order().items() if name != missing}
    assert complaint(payload)[0] == missing

"""Validators that stop at the first wrong element of a list, whatever the model looks like."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from jobyard.tasks.declare import task
from jobyard.tasks.fail_fast import LARGE_JSON_BYTES, fail_fast_in_elements, fail_fast_validator
from jobyard.tasks.payload import Payload

MANY = 20_000


class Tree(BaseModel):
    numbers: list[int] = []
    pairs: tuple[tuple[int, int], ...] = ()
    names: dict[str, list[int]] = {}
    children: "list[Tree]" = []


class Misleading(BaseModel):
    """Fields and defaults that look like parts of a schema."""

    type: Literal["list", "tuple"] = "list"
    default: list[int] = [1]
    metadata: dict[str, Any] = {"type": "list"}
    items_schema: int = 3


def details(validator: Any, value: object) -> Sequence[Any]:
    with pytest.raises(ValidationError) as error:
        validator.validate_json(json.dumps(value).encode())
    found: list[Any] = error.value.errors(include_url=False)
    return found


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"numbers": [1, *["x"] * MANY]}, ("numbers", 1)),
        ({"pairs": [[1, 2], *[[1]] * MANY]}, ("pairs", 1, 1)),
        ({"names": {"a": [*["x"] * MANY]}}, ("names", "a", 0)),
        (
            {"children": [{}, {"children": [{"numbers": ["x"] * MANY}] * 3}]},
            ("children", 1, "children", 0, "numbers", 0),
        ),
    ],
)
def test_of_each_list_one_wrong_element_is_named(value: object, where: tuple[object, ...]) -> None:
    [detail] = details(fail_fast_validator(Tree.__pydantic_core_schema__), value)
    assert detail["loc"] == where


def test_every_wrong_field_is_named() -> None:
    value = {"numbers": ["x"] * MANY, "pairs": [1] * MANY}
    found = details(fail_fast_validator(Tree.__pydantic_core_schema__), value)
    assert [detail["loc"] for detail in found] == [("numbers", 0), ("pairs", 0)]


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Tree, {"numbers": [1, 2], "pairs": [[1, 2]], "children": [{"names": {"a": [1]}}]}),
        (Misleading, {}),
        (Misleading, {"type": "tuple", "default": [2, 3], "metadata": {"type": 5}, "items_schema": 4}),
    ],
)
def test_what_is_right_is_read_as_by_the_model(model: type[BaseModel], value: object) -> None:
    text = json.dumps(value)
    validator = fail_fast_validator(model.__pydantic_core_schema__)
    assert validator.validate_json(text) == model.model_validate_json(text)


@pytest.mark.parametrize("model", [Tree, Misleading])
def test_of_a_list_of_payloads_every_wrong_one_is_named(model: type[BaseModel]) -> None:
    schema = TypeAdapter(Annotated[list[model], Field(max_length=9)]).core_schema  # type: ignore
    found = details(fail_fast_in_elements(schema), [{}, 5, {}, 6])
    assert [detail["loc"] for detail in found] == [(1,), (3,)]


calls: list[str] = []


def _noted(value: str) -> str:
    calls.append(value)
    raise ValueError("never right")


class Addressed(Payload):
    to: tuple[Annotated[str, AfterValidator(_noted)], ...] = ()
    text: str = ""


@task("test.fail_fast")
def do(payload: Addressed) -> None:
    pass


def test_a_large_payload_is_read_so_and_a_small_one_names_every_error() -> None:
    for many, expected in ((5, 5), (LARGE_JSON_BYTES, 1)):
        calls.clear()
        with pytest.raises(ValidationError) as error:
            do.definition.validate_json(json.dumps({"to": ["a"] * many}).encode())
        assert error.value.error_count() == len(calls) == expected
    large = {"text": "x" * 2 * LARGE_JSON_BYTES}
    assert do.definition.validate_json(json.dumps(large).encode()) == Addressed(**large)

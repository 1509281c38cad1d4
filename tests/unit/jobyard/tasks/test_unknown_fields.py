"""Unknown fields are found by the schema wherever they are certainly wrong, and nowhere else."""

from typing import Any

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from jobyard.tasks.payload import Payload
from jobyard.tasks.unknown_fields import most_fields, unknown_fields


class Row(Payload):
    number: int = 0
    next: "Row | None" = None


class Loose(BaseModel):
    known: int = 0


class Picked(Payload):
    """Takes of a mapping what it knows."""

    known: int = 0

    @model_validator(mode="before")
    @classmethod
    def _pick(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {"known": value.get("known", 0)}


class Whole(Payload):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    rows: list[Row] = Field(default_factory=list)
    pair: tuple[Row, ...] = ()
    maybe: Row | None = None
    renamed: int = Field(0, alias="other")
    mapping: dict[str, int] = Field(default_factory=dict)
    anything: Any = None
    loose: Loose = Loose()
    picked: Picked = Picked()
    either: Row | int = 0
    cleaned: Row = Row()

    @field_validator("cleaned", mode="before")
    @classmethod
    def _clean(cls, value: Any) -> Any:
        return {"number": value["number"]} if isinstance(value, dict) else value


class Several(Payload):
    value: int = Field(0, validation_alias=AliasChoices("one", AliasPath("two", 0)))


RIGHT: list[dict[str, Any]] = [
    {},
    {"rows": [{"number": 1, "next": {"next": {}}}], "pair": [{}], "maybe": None, "other": 1},
    {"renamed": 1, "mapping": {"a": 1}, "anything": {"b": [{}]}, "loose": {"unknown": 1}},
    {"picked": {"known": 1, "unknown": 1}, "cleaned": {"number": 1, "unknown": 1}},
]
WRONG: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    ({"unknown": 1}, ("unknown",)),
    ({"rows": [{}, {"unknown": 1}]}, ("rows", 1, "unknown")),
    ({"pair": [{"unknown": 1}]}, ("pair", 0, "unknown")),
    ({"maybe": {"next": {"next": {"unknown": 1}}}}, ("maybe", "next", "next", "unknown")),
]


@pytest.mark.parametrize("value", RIGHT, ids=str)
def test_what_the_model_takes_has_none(value: dict[str, Any]) -> None:
    Whole.model_validate(value)
    assert list(unknown_fields(Whole, value)) == []


@pytest.mark.parametrize(("value", "location"), WRONG, ids=str)
def test_what_the_model_refuses_is_found_where_pydantic_finds_it(
    value: dict[str, Any], location: tuple[str | int, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate(value)
    assert [error["loc"] for error in refused.value.errors()] == [location]
    assert list(unknown_fields(Whole, value)) == [location]


@pytest.mark.parametrize(
    "value", [{"either": {"unknown": 1}}, {"rows": {"unknown": 1}}, [], 1, None], ids=str
)
def test_what_is_wrong_in_another_way_is_left_to_pydantic(value: Any) -> None:
    assert list(unknown_fields(Whole, value)) == []


def test_a_field_of_several_names_is_left_to_pydantic() -> None:
    assert list(unknown_fields(Several, {"one": 1, "two": [1], "unknown": 1})) == []


def test_the_most_fields_of_an_object() -> None:
    assert most_fields(Row) == 2
    assert most_fields(Whole) == len(Whole.model_fields)

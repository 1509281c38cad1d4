"""The schemas of tasks' models: their names, and types for which JSON Schema has no words."""

from collections.abc import Callable
from copy import copy

from pydantic import TypeAdapter

from jobyard.http.openapi.names import Names
from jobyard.http.openapi.schemas import name_apart, task_schemas
from jobyard.tasks.definition import AnyDefinition
from tasks.mail.task import send_email

EMAIL = send_email.definition


def test_a_model_with_a_name_that_is_taken_gets_another() -> None:
    schemas = task_schemas([EMAIL], {"Email": {"type": "string"}, "Receipt": {"type": "string"}})
    assert schemas.payloads[EMAIL.name] == {"$ref": "#/components/schemas/TaskEmail"}
    assert schemas.results[EMAIL.name] == {"$ref": "#/components/schemas/TaskReceipt"}
    assert schemas.definitions.keys() == {"TaskEmail", "TaskReceipt", "Attachment"}


def test_a_model_with_the_name_of_an_equal_one_shares_it() -> None:
    [receipt] = task_schemas([EMAIL], {}).results.values()
    definition = task_schemas([EMAIL], {}).definitions["Receipt"]
    assert task_schemas([EMAIL], {"Receipt": dict(definition)}).results[EMAIL.name] == receipt


def test_a_result_that_json_schema_cannot_describe_may_be_anything() -> None:
    odd: AnyDefinition = copy(EMAIL)
    odd.result_adapter = TypeAdapter(Callable[[], int])
    assert task_schemas([odd], {}).results[odd.name] == {}


def test_titles_that_are_shared_become_names() -> None:
    schemas = {"Email": {"title": "Email"}, "TaskEmail": {"title": "Email"}, "Other": {"title": "Kept"}}
    name_apart(schemas)
    assert {name: schema["title"] for name, schema in schemas.items()} == {
        "Email": "Email",
        "TaskEmail": "TaskEmail",
        "Other": "Kept",
    }


def test_names_are_given_out_once() -> None:
    names = Names(["submit_a_b"])
    assert [names.new("submit_a_b"), names.new("submit_a_b"), names.new("submit_c")] == [
        "submit_a_b_2",
        "submit_a_b_3",
        "submit_c",
    ]

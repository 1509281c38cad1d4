"""The schemas of models that FastAPI does not know: payloads, results, bodies that routes read themselves."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema

from jobyard.http.openapi.names import Names
from jobyard.http.operation import REFERENCE
from jobyard.tasks.definition import AnyDefinition

Schema = dict[str, Any]

# Put before the name of a task's model that is called as one of Jobyard's own.
PREFIX: Final = "Task"


class _Lenient(GenerateJsonSchema):
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 (pydantic's own)

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """Overridden so that a type which JSON Schema cannot describe may be anything, instead of failing."""
        return {}


class TaskSchemas(NamedTuple):
    """The schemas of each task's payload and result, and the definitions that they refer to."""

    payloads: Mapping[str, Schema]
    results: Mapping[str, Schema]
    definitions: Mapping[str, Schema]


def model_schemas(*models: type[BaseModel]) -> dict[str, Schema]:
    """Return the schemas of Jobyard's own models and of what they contain, each under its title."""
    _, schema = models_json_schema([(model, "validation") for model in models], ref_template=REFERENCE)
    return {definition.get("title", name): definition for name, definition in schema["$defs"].items()}


def task_schemas(tasks: Iterable[AnyDefinition], taken: Mapping[str, Schema]) -> TaskSchemas:
    """Return the schemas of the tasks' payloads and results; none is named as another one in `taken`."""
    inputs: list[tuple[tuple[str, str], JsonSchemaMode, TypeAdapter[Any]]] = []
    for task in tasks:
        inputs.append(((task.name, "payload"), "validation", TypeAdapter(task.payload_model)))
        inputs.append(((task.name, "result"), "serialization", task.result_adapter))
    # In one call, so that two models with the same name (such as a user's own Email) get different names.
    schemas, rest = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE, schema_generator=_Lenient)
    definitions = rest.get("$defs", {})
    names = Names([*taken, *definitions])
    new_names = {
        name: names.new(f"{PREFIX}{name}")
        for name in definitions
        if taken.get(name, definitions[name]) != definitions[name]
    }
    references = {_reference(old): _reference(new) for old, new in new_names.items()}
    payloads, results = (
        {
            name: _with_references(schemas[(name, what), mode], references)
            for (name, part), mode, _ in inputs
            if part == what
        }
        for what in ("payload", "result")
    )
    return TaskSchemas(
        payloads,
        results,
        {
            new_names.get(name, name): _with_references(schema, references)
            for name, schema in definitions.items()
        },
    )


def name_apart(schemas: Mapping[str, Schema]) -> None:
    """Give schemas that share a title their names as titles, by which clients name their classes."""
    times = Counter(schema.get("title") for schema in schemas.values())
    for name, schema in schemas.items():
        if times[schema.get("title")] > 1 and "title" in schema:
            schema["title"] = name


def _reference(model: str) -> str:
    return REFERENCE.format(model=model)


def _with_references(part: Any, references: Mapping[str, str]) -> Any:
    match part:
        case {"$ref": str(reference)} if reference in references:
            return part | {"$ref": references[reference]}
        case dict():
            return {key: _with_references(value, references) for key, value in part.items()}
        case list():
            return [_with_references(value, references) for value in part]
    return part

"""The OpenAPI document: the bodies that endpoints read themselves, which FastAPI does not know of."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from jobyard.tasks.registry import load_tasks

REFERENCE = "#/components/schemas/{model}"


def payload_reference(model: type[BaseModel]) -> dict[str, Any]:
    """Return the reference to a task's payload model in the document."""
    references, _ = _payload_schemas()
    return references[model, "validation"]


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return what a route says of a body that it reads itself; `describe_bodies` has to know the model."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
    return {"requestBody": {"required": required, "content": content}}


def describe_bodies(app: FastAPI, *others: type[BaseModel]) -> None:
    """Give the payloads, and other models by their names, a place in the document that FastAPI makes."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in others:
            schema = model.model_json_schema(ref_template=REFERENCE)
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        _, definitions = _payload_schemas()
        schemas.update(definitions)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


@cache
def _payload_schemas() -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    # All in one go, so that models of one name (a user's own Email, say) get names that differ.
    models = dict.fromkeys(task.payload_model for task in load_tasks().values())
    references, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    return references, schema["$defs"]

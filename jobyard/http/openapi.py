"""Adds to the OpenAPI document the bodies that endpoints read themselves and FastAPI does not know."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from jobyard.tasks.registry import public_tasks

REFERENCE = "#/components/schemas/{model}"


def payload_reference(model: type[BaseModel]) -> dict[str, Any]:
    """Return the document's reference to a task's payload model."""
    references, _ = _payload_schemas()
    return references[model, "validation"]


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return a route's `openapi_extra` for a body that it reads itself; see also `describe_bodies`."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
    return {"requestBody": {"required": required, "content": content}}


def describe_bodies(app: FastAPI, *others: type[BaseModel]) -> None:
    """Add the schemas of all payloads, and of other models, to the document that FastAPI generates."""
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
    # In one call, so that two models with the same name (such as a user's own Email) get different names.
    models = dict.fromkeys(task.payload_model for task in public_tasks().values())
    references, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    return references, schema["$defs"]

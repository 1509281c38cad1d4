"""The OpenAPI document: what FastAPI knows of the routes, and what only Jobyard knows of them.

FastAPI knows the parameters and most answers. Added are the bodies and results of tasks, the bodies that
routes read themselves, problems, headers, and how a caller shows its key.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from jobyard.http.openapi.schemas import model_schemas, name_apart
from jobyard.http.openapi.task_operations import describe_tasks
from jobyard.http.operation import shared_components
from jobyard.http.routes.tasks import task_paths
from jobyard.http.schemas import BulkAccepted, ProblemView

TAGS: Final = (
    ("tasks", "Submit jobs: each task has a path of its own, and one for many jobs."),
    ("jobs", "Find jobs, read how they ended, cancel them."),
    ("dead letters", "Jobs that run again only when a caller replays them."),
    ("files", "What tasks read and write, by its id."),
    ("queues", "How much waits, and for how long."),
    ("workers", "Who runs the jobs."),
    ("health", "Whether this installation does what it should."),
)
# Linters and generators of clients decode paths, some twice, and stumble over these. A task with one of them
# must not take the document from all others, and is left out of it.
UNREADABLE: Final = frozenset("%{}")
SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of JOBYARD_API__KEYS."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key of JOBYARD_API__KEYS.",
    },
}


def build_document(app: FastAPI, bodies: Iterable[type[BaseModel]], *, needs_key: bool) -> dict[str, Any]:
    """Return the document, with the models that `body_of` was given; `needs_key`: where API keys are set."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
        servers=[{"url": "/", "description": "The installation that serves this document."}],
    )
    components = document["components"]
    components |= shared_components() | {"securitySchemes": SECURITY_SCHEMES}
    components["schemas"] |= model_schemas(ProblemView, BulkAccepted, *bodies)
    either: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
    security = either if needs_key else [*either, {}]
    for operation in _operations(document):
        _tidy(operation)
        operation["security"] = security if "401" in operation["responses"] else []
    describe_tasks(document, [path for path in task_paths() if UNREADABLE.isdisjoint(path.task.name)])
    name_apart(components["schemas"])
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for path in document["paths"].values() for operation in path.values())


def _tidy(operation: dict[str, Any]) -> None:
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    for status, response in operation["responses"].items():
        if "$ref" in response:  # FastAPI writes a description beside it
            operation["responses"][status] = {"$ref": response["$ref"]}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    # A query and a header can leave a value out, and cannot say null. The parameter has the description.
    given = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    outer = {name: value for name, value in schema.items() if name not in ("anyOf", "description")}
    match given:
        case []:
            return outer
        case [only]:
            return {name: value for name, value in only.items() if name != "description"} | outer
        case _:
            return {"anyOf": given} | outer

"""The operations of tasks in the OpenAPI document, with the types of their payloads and results."""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Final

from jobyard.http.accept.body import NDJSON
from jobyard.http.openapi.names import Names
from jobyard.http.openapi.schemas import TaskSchemas, task_schemas
from jobyard.http.operation import JSON, REFERENCE, headers
from jobyard.http.routes.tasks import MANY_JOBS, ONE_JOB, TaskPath
from jobyard.http.schemas import BulkAccepted, JobDetail, JobView
from jobyard.tasks.definition import AnyDefinition

Document = dict[str, Any]

# The paths of any task, as FastAPI writes them into the document.
_OF_ANY_TASK: Final = {path.replace(":path", ""): path is MANY_JOBS for path in (ONE_JOB, MANY_JOBS)}


def describe_tasks(document: Document, paths: Iterable[TaskPath]) -> None:
    """Describe the operation of each path: its names, its body and its answers."""
    paths = list(paths)
    of_any_task = {is_bulk: document["paths"].pop(path)["post"] for path, is_bulk in _OF_ANY_TASK.items()}
    components = document["components"]["schemas"]
    tasks = {path.task.name: path.task for path in paths}
    schemas = task_schemas(tasks.values(), components)
    components |= schemas.definitions
    names = Names(components)
    ended = {name: names.new(f"{_camel(name)}Job") for name in tasks}
    for name, model in ended.items():
        components[model] = _ended_job(schemas.results[name], name)
    taken = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    operation_names = Names(taken)
    for path in paths:
        if not path.is_short:
            document["paths"][path.path] = {"post": _of_one_task(of_any_task[path.is_bulk])}
        operation = document["paths"][path.path]["post"]
        summary = f"Submit {'many jobs' if path.is_bulk else 'a job'} of {path.task.name}"
        operation |= {
            "summary": summary,
            "description": path.task.doc or f"{summary}.",
            "operationId": operation_names.new(_operation_name(path)),
            "requestBody": (_bulk_body if path.is_bulk else _body)(path.task, schemas),
        }
        operation["responses"] |= _bulk_answers() if path.is_bulk else _answers(ended[path.task.name])


def _of_one_task(operation: dict[str, Any]) -> dict[str, Any]:
    own = deepcopy(operation)
    own["parameters"] = [parameter for parameter in own["parameters"] if parameter["in"] != "path"]
    return own


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", text)


def _camel(name: str) -> str:
    camel = "".join(word[0].upper() + word[1:] for word in _words(name))
    return camel if camel[:1].isalpha() else f"Task{camel}"


def _operation_name(path: TaskPath) -> str:
    if path.is_short:
        return "_".join(["post", *_words(path.path)])
    words = [word.lower() for word in _words(path.task.name)]
    return "_".join(["submit", *(["many"] if path.is_bulk else []), *words])


def _body(task: AnyDefinition, schemas: TaskSchemas) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.payloads[task.name]}
    if examples := task.payload_schema.get("examples"):
        content["example"] = examples[0]
    return {"required": True, "content": {JSON: content}}


def _bulk_body(task: AnyDefinition, schemas: TaskSchemas) -> dict[str, Any]:
    array = {"type": "array", "items": schemas.payloads[task.name], "minItems": 1}
    lines = {"type": "string", "description": "One payload per line."}
    return {"required": True, "content": {JSON: {"schema": array}, NDJSON[0]: {"schema": lines}}}


def _ended_job(result: dict[str, Any], task: str) -> dict[str, Any]:
    typed = {"type": "object", "properties": {"result": _or_null(result)}, "required": ["result"]}
    return {
        "description": f"A job of {task} that has ended; `result` is null where it did not succeed.",
        "allOf": [_reference(JobDetail.__name__), typed],
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema:
        return schema  # any JSON, null among it
    options = schema.get("anyOf", [schema])
    return schema if {"type": "null"} in options else {"anyOf": [*options, {"type": "null"}]}


def _answers(ended: str) -> dict[str, Any]:
    sent = ("Location", "Jobyard-Duplicate", "Preference-Applied")
    return {
        "200": _answer("It ended while you waited (`Prefer: wait=N`).", ended, *sent),
        "202": _answer("It is durable in the ledger, and runs when its turn comes.", JobView.__name__, *sent),
    }


def _bulk_answers() -> dict[str, Any]:
    return {"202": _answer("All are durable in the ledger.", BulkAccepted.__name__)}


def _answer(description: str, model: str, *sent: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {JSON: {"schema": _reference(model)}},
        **({"headers": headers(*sent)} if sent else {}),
    }


def _reference(model: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model)}

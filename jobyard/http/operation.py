"""What a route says of itself in the OpenAPI document: its problems, its headers, the body that it reads."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

PROBLEM_JSON: Final = "application/problem+json"
JSON: Final = "application/json"
REFERENCE: Final = "#/components/schemas/{model}"

# The name and the description of each problem in the document's `components.responses`, in words of
# our own: Python renames its phrases (413 and 422 are called differently since 3.13).
PROBLEMS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("BadRequest", "The body is not valid JSON, or a header is given twice."),
    401: ("Unauthorized", "The request has no API key, or one that is not known here."),
    403: ("Forbidden", "This installation has no API keys, and then answers only its own machine."),
    404: ("NotFound", "There is nothing with this id."),
    408: ("RequestTimeout", "The request did not arrive in time."),
    409: ("Conflict", "The job's status does not allow this."),
    410: ("Gone", "The job has ended, and was deleted when its retention was over."),
    413: ("ContentTooLarge", "The body is larger than this installation takes."),
    415: ("UnsupportedMediaType", "The Content-Type is none of those that this path takes."),
    422: ("Unprocessable", "A field or an option is wrong; `errors` names each."),
    431: ("HeadersTooLarge", "The headers are larger than this server takes."),
    500: ("InternalError", "A fault of Jobyard; its log has the traceback."),
    503: (
        "Unavailable",
        "The ledger or the file store does not answer; try again after `Retry-After` seconds. Without that "
        "header it is unknown whether the jobs with these `ids` were accepted: ask for them first.",
    ),
}
# What is answered to every operation but those of health, and what to those that have a body.
COMMON: Final = (400, 401, 403, 422, 431, 500, 503)
WITH_BODY: Final = (408, 413, 415)

HEADERS: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "Location": ({"type": "string", "format": "uri-reference"}, "The path of what was made."),
    "Retry-After": ({"type": "integer"}, "Seconds until it is worth asking again."),
    "WWW-Authenticate": ({"type": "string"}, "How a key is sent."),
    "Preference-Applied": ({"type": "string"}, "The `wait` that was honoured, in seconds."),
    "Jobyard-Duplicate": (
        {"type": "string", "enum": ["repeated", "duplicate"]},
        "The job is an earlier one: with the same `Idempotency-Key` (`repeated`), or with the same "
        "`unique_key` and not ended (`duplicate`).",
    ),
    "Content-Disposition": ({"type": "string"}, "The name under which a browser saves it."),
    "ETag": ({"type": "string"}, "The SHA-256 of the file, in quotes."),
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Return the `responses` of a route, or of a router, for problems with these statuses."""
    return {status: {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"} for status in statuses}


def headers(*names: str) -> dict[str, Any]:
    """Return the `headers` of a response."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads its body itself; `create_app` names the model, too."""
    content = {JSON: {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
    return {"requestBody": {"required": required, "content": content}}


def shared_components() -> dict[str, Any]:
    """Return the `components` that `problems` and `headers` refer to."""
    return {
        "responses": {name: _problem(status, text) for status, (name, text) in PROBLEMS.items()},
        "headers": {
            name: {"description": text, "schema": schema} for name, (schema, text) in HEADERS.items()
        },
    }


def _problem(status: int, description: str) -> dict[str, Any]:
    sent: Iterable[str] = {401: ["WWW-Authenticate"], 503: ["Retry-After"]}.get(status, ())
    schema = {"$ref": REFERENCE.format(model="Problem")}
    return {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": schema}},
        **({"headers": headers(*sent)} if sent else {}),
    }

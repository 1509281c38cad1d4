"""The OpenAPI document: each task with its own endpoint, payload and example, a user's own tasks as well."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.support.api_calls import JSON, PROBLEM_JSON, MakeYard, accepted, client_of, problem

JSON_TYPE = JSON["Content-Type"]

LETTERS = "/v1/tasks/letter.send/jobs"


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> dict[str, Any]:
    told: dict[str, Any] = api.get("/openapi.json").json()
    return told


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference leads to."""
    found: dict[str, Any] = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for path in document["paths"].values() for operation in path.values())


def body_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    body: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"][JSON_TYPE]
    return body


def references(part: Any) -> set[str]:
    match part:
        case {"$ref": str(reference)}:
            return {reference}
        case dict():
            return set().union(*map(references, part.values()))
        case list():
            return set().union(*map(references, part))
    return set()


def test_every_task_has_an_endpoint_with_its_payload(document: dict[str, Any], api: httpx.Client) -> None:
    for task in api.get("/v1/tasks").json():
        if set(task["name"]) & set("%{}"):
            continue  # which is not in the document, because its readers stumble over these
        schema = resolved(document, body_of(document, task["links"]["submit"])["schema"])
        assert schema["properties"].keys() == task["payload_schema"]["properties"].keys()
        assert schema["additionalProperties"] is False
        bulk = body_of(document, f"{task['links']['submit']}/bulk")["schema"]
        assert resolved(document, bulk["items"]) == schema
        assert document["paths"][task["links"]["submit"]]["post"]["description"] == task["description"]


@pytest.mark.parametrize("path", ["/email", "/images", "/collect", "/v1/tasks/page.collect/jobs"])
def test_the_tasks_that_ship_have_examples(document: dict[str, Any], path: str) -> None:
    assert body_of(document, path)["example"]


@pytest.mark.parametrize("path", ["/email", "/collect"])
def test_an_example_is_accepted_as_it_stands(document: dict[str, Any], api: httpx.Client, path: str) -> None:
    job = accepted(api.post(path, params={"delay": 3600}, json=body_of(document, path)["example"]))
    assert api.post(job["links"]["cancel"]).status_code == 200


def test_every_error_of_every_operation_is_a_problem(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and (operation["operationId"], status) != ("get_readiness", "503"):
                content = resolved(document, response)["content"]
                assert content == {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    job = document["paths"]["/v1/jobs/{job_id}"]["get"]["responses"].keys()
    assert {"400", "401", "403", "404", "410", "422", "431", "500", "503"} <= job
    assert {"408", "413", "415"} <= document["paths"]["/email"]["post"]["responses"].keys()


def test_a_result_has_the_type_that_its_task_returns(document: dict[str, Any]) -> None:
    answers = document["paths"]["/v1/tasks/bad.deed/jobs"]["post"]["responses"]
    ended = resolved(document, answers["200"]["content"][JSON_TYPE]["schema"])
    assert ended["allOf"][0] == {"$ref": "#/components/schemas/JobDetail"}
    result = ended["allOf"][1]["properties"]["result"]
    assert result == {"anyOf": [{"$ref": "#/components/schemas/Done"}, {"type": "null"}]}
    assert answers["202"]["headers"].keys() == {"Location", "Jobyard-Duplicate", "Preference-Applied"}


def test_every_operation_but_those_of_health_may_want_a_key(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"].keys()
    for operation in operations(document):
        expected = (
            [] if "431" in operation["responses"] and "401" not in operation["responses"] else [*schemes]
        )
        assert [name for either in operation["security"] for name in either] == expected


def test_enums_of_one_name_do_not_take_each_others_place(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["ExportFormat"]["enum"] == ["ndjson", "csv"]
    assert "webp" in schemas["Format"]["enum"]
    titles = [schema["title"] for schema in schemas.values() if "title" in schema]
    assert len(titles) == len(set(titles))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        assert resolved(document, {"$ref": reference})


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name == name.lower() for name in names)
    assert {"submit_bad_deed", "submit_many_bad_deed", "post_email", "get_job"} <= set(names)


def test_the_options_are_described_and_no_body_is_left_out(document: dict[str, Any]) -> None:
    post = document["paths"]["/v1/tasks/bad.deed/jobs"]["post"]
    assert {(one["in"], one["name"]) for one in post["parameters"]} == {
        *(("query", name) for name in ("queue", "priority", "delay", "run_at", "expires_in", "max_attempts")),
        *(("query", name) for name in ("unique_key", "tag", "external_id", "job_headers")),
        *(("query", name) for name in ("time_limit", "soft_time_limit")),
        *(("header", name) for name in ("Idempotency-Key", "Prefer")),
    }
    order = resolved(document, body_of(document, "/v1/dead-letters/replay")["schema"])
    assert order["properties"].keys() == {"ids", "filter", "limit", "canary", "reason"}
    uploads = document["paths"]["/v1/files"]["post"]["requestBody"]["content"]
    assert uploads.keys() == {"multipart/form-data", "application/octet-stream"}


def test_the_documentation_is_where_the_front_door_leads(api: httpx.Client) -> None:
    answer = api.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert api.get("/docs").status_code == 200


def test_the_page_of_the_documentation_loads_nothing_from_elsewhere(api: httpx.Client) -> None:
    page = api.get("/docs")
    loaded = [place for place in re.findall(r'(?:src|href)="([^"]+)"', page.text) if place != "data:,"]
    assert loaded == ["docs/swagger-ui.css", "docs/swagger-ui-bundle.js"]
    assert all(api.get(f"/{place}").status_code == 200 for place in loaded)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    [script] = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"


@pytest.fixture(scope="module")
def own_api(make_yard: MakeYard) -> Iterator[httpx.Client]:
    """The API of a yard with a user's own task in it."""
    yard = make_yard(tasks__modules="tests.support.letters")
    yard.start_api()
    with client_of(yard) as client:
        yield client


def test_a_task_of_ones_own_has_its_endpoint_and_example(own_api: httpx.Client) -> None:
    document = own_api.get("/openapi.json").json()
    body = body_of(document, LETTERS)
    assert body["example"] == {"path": "High Street 1", "header": "Dear Ada"}
    assert accepted(own_api.post(LETTERS, json=body["example"]))["task"] == "letter.send"


def test_payloads_of_one_name_do_not_take_each_others_place(own_api: httpx.Client) -> None:
    document = own_api.get("/openapi.json").json()
    letter, mail = (resolved(document, body_of(document, path)["schema"]) for path in (LETTERS, "/email"))
    assert letter["properties"].keys() == {"path", "header", "attachments"}
    assert "subject" in mail["properties"]
    enclosed, attached = (
        resolved(document, schema["properties"]["attachments"]["items"]) for schema in (letter, mail)
    )
    assert enclosed["properties"].keys() == {"weight"}
    assert "file" in attached["properties"]
    assert all(resolved(document, {"$ref": reference}) for reference in references(document))


def test_a_field_is_named_even_where_it_is_called_as_a_part_of_a_request_is(own_api: httpx.Client) -> None:
    told = problem(own_api.post(LETTERS, json={"path": 1}), 422, "path")
    assert {error["field"] for error in told["errors"]} == {"path", "header"}

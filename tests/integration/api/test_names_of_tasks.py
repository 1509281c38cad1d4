"""A task may have any printable name: over HTTP, in the document, in filters, in messages to a worker."""

import json
import re
from collections import Counter
from urllib.parse import quote

import httpx
import pytest

from tests.support.api_calls import ended
from tests.support.odd_names import NAMES


@pytest.fixture(scope="module")
def submit_paths(api: httpx.Client) -> dict[str, str]:
    return {view["name"]: view["links"]["submit"] for view in api.get("/v1/tasks").json()}


def test_each_is_listed_with_a_path_of_ascii(submit_paths: dict[str, str]) -> None:
    assert submit_paths.keys() >= set(NAMES)
    for path in submit_paths.values():
        assert re.fullmatch(r"/v1/tasks/[A-Za-z0-9._~%-]+/jobs", path)
    assert len({path.lower() for path in submit_paths.values()}) > len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_takes_jobs_in_every_way(api: httpx.Client, submit_paths: dict[str, str], name: str) -> None:
    path = submit_paths[name]
    plain = api.post(path, json={"x": 1})
    with_option = api.post(f"{path}?priority=7", json={"x": 2})
    waited = api.post(path, json={"x": 3}, headers={"Prefer": "wait=20"})
    bulk = api.post(f"{path}/bulk", json=[{"x": 4}, {"x": 5}])
    # A proxy may have decoded a slash; a client would shorten two of them, and a step up.
    is_kept = "//" not in name and "../" not in name
    decoded = f"/v1/tasks/{quote(name, safe='/' if is_kept else '')}/jobs"
    by_slashes = api.post(decoded, json={"x": 6})

    for answer in (plain, with_option, bulk, by_slashes):
        assert answer.status_code == 202, answer.text
    assert (plain.json()["task"], with_option.json()["task"], with_option.json()["priority"]) == (
        name,
        name,
        7,
    )
    assert (waited.status_code, waited.json()["result"]) == (200, f"{name}: 3")
    for job_id, number in zip([plain.json()["id"], *bulk.json()["ids"]], (1, 4, 5), strict=True):
        job = ended(api, job_id)
        assert (job["status"], job["result"]) == ("succeeded", f"{name}: {number}")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_found_by_its_name_and_replayed(
    api: httpx.Client, submit_paths: dict[str, str], name: str
) -> None:
    dead = api.post(submit_paths[name], json={"x": -1}, headers={"Prefer": "wait=20"}).json()
    assert (dead["status"], dead["failure"]["message"]) == ("dead", name)

    for path in ("/v1/jobs", "/v1/dead-letters"):
        found = api.get(path, params={"task": name}).json()["jobs"]
        assert dead["id"] in [job["id"] for job in found]
        assert {job["task"] for job in found} == {name}
    order = api.post("/v1/dead-letters/replay", json={"filter": {"task": name}, "reason": "a test"})
    assert order.status_code == 202, order.text
    discarded = api.post("/v1/dead-letters/discard", json={"filter": {"task": name}, "reason": "a test"})
    assert discarded.status_code == 200, discarded.text


def test_each_has_a_path_and_names_of_its_own_in_the_document(
    api: httpx.Client, submit_paths: dict[str, str]
) -> None:
    document = api.get("/openapi.json").json()
    documented_paths = [path for name, path in submit_paths.items() if not set(name) & set("%{}")]
    for path in documented_paths:
        for documented in (path, f"{path}/bulk"):
            operation = document["paths"][documented]["post"]
            assert all(parameter["in"] != "path" for parameter in operation["parameters"])
    assert not [path for path in document["paths"] if path.startswith("/v1/tasks/") and "%7B" in path]
    assert not [path for path in document["paths"] if path.startswith("/v1/tasks/{")]
    operations = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    schemas = document["components"]["schemas"]
    for names in (operations, list(schemas)):
        spelt = Counter(re.sub("[^a-z0-9]", "", name.lower()) for name in names)
        assert max(spelt.values()) == 1, [name for name, times in spelt.items() if times > 1]
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name) for name in names)
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= schemas.keys()


def test_what_no_task_is_called_is_answered_with_the_path_as_it_was_asked_for(api: httpx.Client) -> None:
    answer = api.post("/v1/tasks/no%20task%20%7Bx%7D/jobs", json={})
    assert answer.status_code == 404
    assert answer.json()["instance"] == "/v1/tasks/no%20task%20%7Bx%7D/jobs"
    assert "no task {x}" in answer.json()["detail"]

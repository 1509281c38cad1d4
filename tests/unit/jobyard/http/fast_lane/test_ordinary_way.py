"""The fast lane leaves out nothing that the ordinary way does for a plain request."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from uvicorn.protocols.http import httptools_impl

from api.doors import DOORS
from jobyard.http.app import create_app
from jobyard.http.fast_lane import uvicorn_names
from jobyard.http.fast_lane.uvicorn_names import http_protocol, missing_names
from jobyard.http.head_requests import HeadRequests

# What the ordinary way calls for a submitted job, and where the fast lane does the same.
KNOWN: Final = {
    "check_caller": "FastLane._may_call",
    "check_headers": "a request with a repeated header is not plain",
    "check_query": "a path with a query is not plain",
    "get_parts": "FastLane has them",
}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app()


def submit_endpoints(app: FastAPI) -> dict[str, Dependant]:
    """Return what FastAPI calls for each path under which a job is submitted."""
    included: list[Any] = [route for route in app.routes if hasattr(route, "effective_route_contexts")]
    contexts = [context for route in included for context in route.effective_route_contexts()]
    return {
        context.path: context.dependant
        for context in contexts
        if "POST" in context.methods and (context.path.endswith("/jobs") or context.path in DOORS)
    }


def dependencies(dependant: Dependant) -> Iterator[str]:
    for sub in dependant.dependencies:
        yield getattr(sub.call, "__name__", repr(sub.call))
        yield from dependencies(sub)


def test_every_dependency_of_the_ordinary_way_is_known(app: FastAPI) -> None:
    found = submit_endpoints(app)
    assert found.keys() > DOORS.keys()
    for path, dependant in found.items():
        assert set(dependencies(dependant)) == KNOWN.keys(), path


def test_there_is_no_middleware_that_the_fast_lane_would_go_round(app: FastAPI) -> None:
    # It is about HEAD alone, and the fast lane about POST.
    used: list[object] = [middleware.cls for middleware in app.user_middleware]
    assert used == [HeadRequests]


def test_the_installed_uvicorn_has_every_name() -> None:
    assert missing_names(httptools_impl) == []
    assert http_protocol() == "jobyard.http.fast_lane.protocol:FastLaneProtocol"


@pytest.mark.parametrize(("kind", "name"), [("METHODS", "on_body"), ("ATTRIBUTES", "cycle")])
def test_a_name_that_uvicorn_has_no_more_switches_the_fast_lane_off(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    names: tuple[Any, ...] = getattr(uvicorn_names, kind)
    monkeypatch.setattr(
        uvicorn_names, kind, tuple(f"new_{known}" if known == name else known for known in names)
    )
    assert missing_names(httptools_impl) == [f"new_{name}"]
    assert http_protocol() == "auto"


def test_a_protocol_of_another_name_is_noticed() -> None:
    assert missing_names(object()) == ["HttpToolsProtocol", "STATUS_LINE"]

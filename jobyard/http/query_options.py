"""Checks a request's query: the route must know each option, and an option is given once unless a list."""

from collections import Counter
from collections.abc import Iterator
from inspect import isclass
from typing import Any, get_origin

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel

from jobyard.http.errors import wrong_option
from jobyard.http.filters import PAYLOAD_PREFIX, payload_conditions


async def check_query(request: Request) -> None:
    """Raise a 422 `Problem` for an option that would be ignored: an unknown or a repeated one."""
    if not request.query_params:
        return
    options = _options_of(request.scope["route"])
    given = Counter(name for name, _ in request.query_params.multi_items())
    takes_payload = _takes_payload(request.scope["route"])
    for name, times in given.items():
        if takes_payload and name.startswith(PAYLOAD_PREFIX):
            options[name] = False
        if name not in options:
            known = ", ".join(options) or "none"
            raise wrong_option(name, f"there is no such option here; the options are: {known}")
        if times > 1 and not options[name]:
            raise wrong_option(name, "is given more than once, and only one value can be used")


def _takes_payload(route: APIRoute) -> bool:
    return any(dependency.call is payload_conditions for dependency in route.dependant.dependencies)


def _options_of(route: APIRoute) -> dict[str, bool]:
    return {
        name: get_origin(annotation) is tuple
        for parameter in route.dependant.query_params
        for name, annotation in _fields_of(parameter.alias, parameter.field_info.annotation)
    }


def _fields_of(name: str, annotation: Any) -> Iterator[tuple[str, Any]]:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        for field_name, field in annotation.model_fields.items():
            yield field.alias or field_name, field.annotation
    else:
        yield name, annotation

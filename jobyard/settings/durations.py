"""Durations in settings and URLs, written as seconds (`30`, `0.5`) or in ISO 8601 (`PT5M`)."""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

# What a `timedelta` can hold; it counts microseconds.
SHORTEST_SECONDS: Final = timedelta.resolution.total_seconds()
LONGEST_SECONDS: Final = timedelta.max.total_seconds()


def _from_seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value  # ISO 8601, which pydantic reads
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(
        _from_seconds,
        json_schema_input_type=Annotated[float, Field(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)] | timedelta,
    ),
    AfterValidator(_positive),
]
DurationOrZero = Annotated[
    timedelta,
    BeforeValidator(
        _from_seconds, json_schema_input_type=Annotated[float, Field(ge=0, le=LONGEST_SECONDS)] | timedelta
    ),
    AfterValidator(_not_negative),
]

"""Refuses a body of very many unknown fields before pydantic makes an error for each of them."""

from itertools import islice

import pydantic_core

from jobyard.http.errors import MOST_BUILT_ERRORS, MOST_SENT_ERRORS, invalid
from jobyard.tasks.definition import AnyDefinition
from jobyard.tasks.unknown_fields import Location, most_fields, unknown_fields


def refuse_many_unknown_fields(
    task: AnyDefinition, body: bytes, most_payloads: int = 1, location: Location = ()
) -> None:
    """Raise a 422 `Problem` that names the first of more than a thousand unknown fields.

    `body` is one payload, or an array of payloads, of which there may be `most_payloads`.
    """
    # Each field has a colon; where texts or mappings have more of them, the body is read once more.
    if body.count(b":") <= MOST_BUILT_ERRORS + most_payloads * most_fields(task.payload_model):
        return
    try:
        value = pydantic_core.from_json(body, cache_strings=False)
    except ValueError:
        return  # pydantic says where it is no JSON
    payloads = enumerate(value) if isinstance(value, list) else [(None, value)]
    unknown = (
        found
        for position, payload in payloads
        for found in unknown_fields(
            task.payload_model, payload, location if position is None else (*location, position)
        )
    )
    first = list(islice(unknown, MOST_BUILT_ERRORS))
    if len(first) == MOST_BUILT_ERRORS:
        message = "Extra inputs are not permitted"
        raise invalid([{"loc": found, "msg": message} for found in first[:MOST_SENT_ERRORS]])

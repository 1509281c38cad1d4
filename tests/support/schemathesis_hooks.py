"""Tells schemathesis which refusals of a request that fits the document are right: those by a rule in words.

A schema cannot say that a file must have been uploaded, or that of two options one must be given: such rules
have sentences of Jobyard's own. What pydantic says by itself, the document should have said.
"""

import re
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure

PYDANTIC = re.compile(r"(Input|String|Field|Extra|List|Tuple|Dictionary|Number|UUID|URL)\b")
# Of what has no form in a schema: the longest duration in ISO 8601, and the payload of a job that exists.
IN_NO_SCHEMA = re.compile(r"durations may not exceed")


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext,
    failure: Failure,
    case: schemathesis.Case[Any],
    response: schemathesis.Response,
) -> bool:
    """Return whether it is a fault of the document or the server."""
    is_refused = response.status_code == 422 and "Schema-valid request rejected" in failure.title
    return not is_refused or any(_could_be_in_schema(error) for error in response.json().get("errors", [{}]))


def _could_be_in_schema(error: dict[str, Any]) -> bool:
    if not error:
        return True
    is_of_a_job = error["field"].startswith("payload.")
    return (
        not is_of_a_job
        and bool(PYDANTIC.match(error["message"]))
        and not IN_NO_SCHEMA.search(error["message"])
    )

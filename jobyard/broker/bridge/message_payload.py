"""The payload of a job whose arguments no process has bound to its task's signature yet.

It is a message of a stock producer, or a call by name, as JSON under one key. The worker that runs the job
reads the arguments in it.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kombu.utils.json import dumps, loads

from jobyard.broker.bridge.source import Delivery

# The key of the JSON object that a message is kept as, and how its text begins.
KEY: Final = "celery_message"
_OPENING: Final = f'{{"{KEY}":'
JSON_TYPES: Final = ("application/json", "json")
LINKS: Final = {
    "callbacks": "callbacks (link=)",
    "errbacks": "error callbacks (link_error=)",
    "chain": "the rest of a chain",
    "chord": "a chord",
}


def message_as_payload(delivery: Delivery, queue: str, *, is_readable: bool) -> str:
    """Return a message as JSON text; its body is base64 where it is not `is_readable`, or no such JSON."""
    kept: dict[str, Any] = {
        "task": delivery.headers["task"],
        "id": delivery.headers["id"],
        "queue": queue,
        "content_type": delivery.content_type,
        "headers": {name: value for name, value in delivery.headers.items() if not name.endswith("repr")},
    }
    if is_readable and delivery.content_type in JSON_TYPES:
        try:
            return _ledger_json({KEY: kept | {"body": json.loads(delivery.body)}})
        except Exception:  # RecursionError among them
            pass
    kept["body_base64"] = b64encode(delivery.body).decode()
    try:
        return _ledger_json({KEY: kept})
    except Exception:
        kept |= {"queue": ascii(queue), "content_type": ascii(delivery.content_type), "headers": {}}
        return _ledger_json({KEY: kept})


def _ledger_json(kept: dict[str, Any]) -> str:
    # NaN is no JSON.
    text = json.dumps(kept, allow_nan=False, default=str)
    if not is_storable(text):
        raise ValueError("no ledger holds this text")
    return text


def is_storable(text: str) -> bool:
    """Tell whether both ledgers can hold and search JSON text.

    Neither searches a NUL, and half of a surrogate pair cannot be written as UTF-8.
    """
    if "\\u0000" in text:
        return False
    try:
        if "\\ud" in text:
            json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def call_as_payload(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return a call as the payload of a job whose worker binds it to the task's signature.

    Raises `TypeError` for an argument that is no JSON, not even in the form that Celery gives it.
    """
    try:
        body = json.loads(dumps([list(args), dict(kwargs), {}]), parse_constant=_no_number)
        text = json.dumps({KEY: {"task": task, "body": body}})
    except (TypeError, ValueError) as error:
        raise TypeError(f"task {task!r}: an argument cannot be written as JSON: {error}") from error
    if not is_storable(text):
        raise TypeError(
            f"task {task!r}: an argument holds a NUL character or half of a surrogate pair, which no ledger "
            "stores"
        )
    return text


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def is_message(payload: str) -> bool:
    """Tell whether the payload of a job is a message that no worker has read yet."""
    return payload.startswith(_OPENING)


def arguments_in(payload: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments in such a payload; raises `ValueError` with the reason."""
    kept = json.loads(payload)[KEY]
    if "body" not in kept:
        raise ValueError("its body is no JSON that can be read, and is kept as it came, in base64")
    args, kwargs, links = loads(json.dumps(kept["body"]))
    if fault := fault_of_links(links):
        raise ValueError(fault)
    return args, kwargs


def fault_of_links(links: object) -> str | None:
    """Return what is wrong with the third part of a body, or None."""
    if not isinstance(links, Mapping):
        return "its body has no third part with links"
    found = [words for name, words in LINKS.items() if links.get(name)]
    if not found:
        return None
    return (
        f"it carries {' and '.join(found)}, and a part of a workflow is not run alone: let the program that "
        "sends it call the first task only, and hand in the others from there"
    )

"""What is read of a message of stock Celery, and what becomes of one that cannot be used."""

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import from_json

from jobyard.broker.bridge import stock_message
from jobyard.broker.bridge.message_payload import arguments_in, call_as_payload, is_message
from jobyard.broker.bridge.source import Delivery
from jobyard.broker.bridge.stock_message import NoTaskMessageError, StockMessage, read_message

NO_LINKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def delivery(body: Any = ([1, 2], {"z": 3}, NO_LINKS), **changed: Any) -> Delivery:
    headers = {"task": "proj.add", "id": "an-id", "lang": "py", "root_id": "an-id"} | changed.pop(
        "headers", {}
    )
    fields: dict[str, Any] = {
        "handle": b"",
        "queue": "celery",
        "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
        "content_type": "application/json",
        "headers": {name: value for name, value in headers.items() if value is not None},
    }
    return Delivery(**fields | changed)


def read(body: Any = ([1, 2], {"z": 3}, NO_LINKS), **changed: Any) -> StockMessage:
    return read_message(delivery(body, **changed))


def test_a_call_is_read_with_its_times_and_limits() -> None:
    message = read(
        headers={
            "eta": "2030-01-31T13:00:00+01:00",
            "expires": "2030-01-31T12:30:00",
            "timelimit": [20, 10],
            "retries": 2,
        },
        priority=6,
    )
    assert (message.id, message.task, message.queue, message.fault) == ("an-id", "proj.add", "celery", None)
    assert (message.args, message.kwargs) == ([1, 2], {"z": 3})
    assert message.eta == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert message.expires == datetime(2030, 1, 31, 12, 30, tzinfo=UTC)
    assert (message.limits, message.retries, message.priority) == ((20, 10), 2, 6)


def test_plain_headers_of_the_caller_are_kept_and_those_of_celery_are_not() -> None:
    own = {
        "tenant": "a",
        "deep": {"a": 1},
        "root_id": "another",
        "parent_id": "one-more",
        "nan": float("nan"),
        "half": "\ud800",
        "a\x00b": 1,
    }
    kept = read(headers=own).own_headers
    assert json.loads(kept or "") == {"tenant": "a", "root_id": "another", "parent_id": "one-more"}
    assert read().own_headers is None
    assert read(headers={"tenant": "a" * 5000}).own_headers is None


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {"task": None}},
        {"headers": {"id": None}},
        {"headers": {"id": ["a"]}},
        {"headers": {"id": "a" * 256}},
        {"headers": {"id": "a\x00b"}},
        {"headers": {"task": "t" * 201}},
        {"unreadable": "rubbish"},
    ],
    ids=repr,
)
def test_what_names_no_task_and_no_id_stands_for_no_job(changed: dict[str, Any]) -> None:
    with pytest.raises(NoTaskMessageError):
        read(**changed)


class Bomb:
    """What must never be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (delivery(pickle.dumps(Bomb()), content_type="application/x-python-serialize"), "task_serializer"),
        (delivery(b"- 1", content_type="application/x-yaml"), "task_serializer"),
        (delivery(b"\x1f\x8b", headers={"compression": "application/x-gzip"}), "task_compression"),
        (delivery(b"no JSON"), "not the JSON"),
        (delivery(b"[" * 100_000), "not the JSON"),
        (delivery([1, 2]), "not the JSON"),
        (delivery([{}, [], NO_LINKS]), "a list of arguments"),
        (delivery([[], {}, None]), "third part"),
        (delivery([[], {}, NO_LINKS | {"callbacks": [{"task": "a"}]}]), "link="),
        (delivery([[], {}, NO_LINKS | {"errbacks": [{"task": "a"}]}]), "link_error="),
        (delivery([[], {}, NO_LINKS | {"chain": [{"task": "a"}]}]), "chain"),
        (delivery([[], {}, NO_LINKS | {"chord": {"task": "a"}}]), "chord"),
        (delivery(headers={"eta": "tomorrow"}), "ISO 8601"),
        (delivery(headers={"expires": [1]}), "ISO 8601"),
        (delivery(headers={"eta": "0001-01-01T00:00:00+14:00"}), "ISO 8601"),
        (delivery(headers={"task": "celery.backend_cleanup"}), "Celery's own"),
        (delivery([[{"__type__": "odd", "__value__": 1}], {}, NO_LINKS]), "not the JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_run_says_why_and_is_kept_whole(message: Delivery, words: str) -> None:
    told = read_message(message)
    assert told.fault is not None
    assert words in told.fault
    kept = json.loads(told.as_payload)["celery_message"]
    assert kept["task"] == told.task
    assert "body" in kept or "body_base64" in kept


def test_dates_and_limits_beyond_all_use_are_brought_into_reach() -> None:
    odd = {
        "eta": "0001-01-01T00:00:00",
        "expires": "9999-12-31T23:59:59.999999",
        "timelimit": [10**400, 1e308],
    }
    message = read(headers=odd)
    assert message.eta == datetime(1970, 1, 1, tzinfo=UTC)
    assert message.expires == datetime(9000, 1, 1, tzinfo=UTC)
    assert message.limits == (None, 366 * 86_400)


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {"deep": [float("nan")]}},
        {"headers": {"nul": "a\x00b"}},
        {"headers": {"half": "\ud800"}},
        {"content_type": float("nan")},
        {"content_type": "\ud800"},
        {"queue": "a\x00b"},
    ],
    ids=ascii,
)
def test_a_message_is_kept_as_json_that_every_reader_reads(changed: dict[str, Any]) -> None:
    for payload in (read(**changed).as_payload, read(**changed).as_encoded_payload):
        assert from_json(payload, allow_inf_nan=False)["celery_message"]["task"] == "proj.add"
        assert "\\u0000" not in payload


@pytest.mark.parametrize(
    "body", [b'[["a\\u0000b"], {}, {}]', b"[[NaN], {}, {}]", b'[["\\ud800"], {}, {}]'], ids=repr
)
def test_a_body_that_no_ledger_holds_as_json_is_kept_in_base64(body: bytes) -> None:
    payload = read(body).as_payload
    assert "body_base64" in json.loads(payload)["celery_message"]
    with pytest.raises(ValueError, match="base64"):
        arguments_in(payload)


def test_arguments_are_read_again_from_a_row() -> None:
    moment = {"__type__": "datetime", "__value__": "2030-01-31T12:00:00+00:00"}
    payload = read([[moment], {"a": 1}, NO_LINKS]).as_payload
    assert is_message(payload)
    assert not is_message('{"celery": 1}')
    assert arguments_in(payload) == ([datetime(2030, 1, 31, 12, tzinfo=UTC)], {"a": 1})


def test_a_call_by_name_is_read_as_a_message_is() -> None:
    assert arguments_in(call_as_payload("proj.add", [1], {"y": "é"})) == ([1], {"y": "é"})


@pytest.mark.parametrize("text", ["a\0", "\ud800"], ids=["nul", "half a pair"])
def test_a_call_by_name_with_a_text_that_no_ledger_stores_is_refused(text: str) -> None:
    with pytest.raises(TypeError, match="which no ledger stores"):
        call_as_payload("proj.add", [], {"deep": [text]})


def test_a_message_that_breaks_its_reader_is_a_dead_letter_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(value: object) -> None:
        raise RuntimeError("not thought of")

    monkeypatch.setattr(stock_message, "_moment", broken)
    assert read().fault == "it cannot be read: RuntimeError: not thought of"

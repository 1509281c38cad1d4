"""What the quick ways of sending put into the broker is what Celery itself would have put there."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_yard import QUICK, OwnYard, opened


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnYard]:
    with opened(tmp_path, dict(QUICK)) as yard:
        yield yard


def messages(own: OwnYard, key: str) -> list[dict[str, Any]]:
    """Return the messages of one of Redis' lists as they are fetched, without the tag that is new in each."""
    found = [json.loads(raw) for raw in reversed(own.broker.lrange(key, 0, -1))]
    for message in found:
        message["body"] = json.loads(b64decode(message["body"]))
        assert len(message["properties"].pop("delivery_tag")) == 36
        message["headers"].pop("origin")  # the thread that asked
        message["properties"].pop("reply_to")
        for name in ("argsrepr", "kwargsrepr"):  # Celery says them twice, and reads the headers
            message["properties"].pop(name, None)
    return found


def test_redis_gets_the_messages_that_celery_would_send(own: OwnYard) -> None:
    sent = own.run("tests.support.send_both_ways")
    assert sent.returncode == 0, sent.stderr
    for key in ("default:5", "email", "email:9"):
        both = messages(own, key)
        half = len(both) // 2
        assert half > 0
        assert both[:half] == both[half:]
    assert [message["body"][0][0] for message in messages(own, "default:5")[3:]] == [
        ["01890a5d-ac96-774b-bcce-000000000001"],
        [f"01890a5d-ac96-774b-bcce-{number:012}" for number in (2, 3, 4)],
        ["01890a5d-ac96-774b-bcce-000000000007"],
    ]

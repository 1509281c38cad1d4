"""Whether two URLs lead to one and the same place at a broker."""

import pytest

from jobyard.broker.same_broker import is_same_broker


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://127.0.0.1:6379/0", "redis://:s3cret@127.0.0.1"),
        ("redis://h/1", "rediss://H:6379/1"),
        ("amqp://h", "amqp://ada:s3cret@h:5672//"),
        ("amqp://h/%2F", "amqp://localhost@h/"),
        ("amqp://localhost/shop", "amqp://127.0.0.1:5672/shop"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
    ],
)
def test_the_same_place_is_known_however_it_is_written(one: str, other: str) -> None:
    assert is_same_broker(one, other)
    assert is_same_broker(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://h/0", "redis://h/1"),
        ("redis://h:1", "redis://h:2"),
        ("amqp://h/shop", "amqp://h"),
        ("amqp://h:6379", "redis://h:6379"),
        ("redis://a", "redis://b"),
    ],
)
def test_another_place_is_another(one: str, other: str) -> None:
    assert not is_same_broker(one, other)

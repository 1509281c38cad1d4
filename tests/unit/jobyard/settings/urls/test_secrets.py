"""URLs are shown without what is secret in them, however badly they are written."""

import pytest

from jobyard.settings.urls.secrets import hidden_in, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:s3cret@h:1/0", "redis://:***@h:1/0"),
        ("amqp://ada:s3cret@h/shop", "amqp://ada:***@h/shop"),
        ("redis://s3cret@h", "redis://***@h"),
        ("amqp://ada:s3cret/s3cret@h/shop", "amqp://ada:***@h/shop"),
        ("amqp://ada:s3cret@s3cret@h/shop", "amqp://ada:***@h/shop"),
        ("amqp://ada:s3cret#s3cret@h", "amqp://ada:***@h"),
        ("amqp://a:s3cret@h;amqps://b:s3cret@i/v", "amqp://a:***@h;amqps://b:***@i/v"),
        ("redis://h?password=s3cret&db=1", "redis://h?password=***&db=1"),
        ("sentinel://h?master=m&sentinel_password=s3cret", "sentinel://h?master=m&sentinel_password=***"),
        ("amqps://h?ssl_keyfile_password=s3cret#x", "amqps://h?ssl_keyfile_password=***#x"),
        ("sqs://AKIA:s3cret@", "sqs://AKIA:***@"),
        ("sqlite:////srv/jobyard.db", "sqlite:////srv/jobyard.db"),
        ("None", "None"),
    ],
)
def test_what_is_secret_is_masked_and_nothing_else(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_server_that_repeats_a_password_does_not_bring_it_into_the_log() -> None:
    url = "redis://:s3%2Fcret@h"
    assert hidden_in("no s3/cret here, nor s3%2Fcret", url) == "no *** here, nor ***"
    assert hidden_in("nothing to hide", "redis://h") == "nothing to hide"

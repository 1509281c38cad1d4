"""No secret is shown or kept: in URLs however badly written, in answers, in what is kept of a failure."""

from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import SmtpSettings
from jobyard.settings import secrets
from jobyard.settings.secrets import MASK, masked_answer, masked_text, masked_url
from jobyard.settings.sections import ApiSettings
from jobyard.settings.settings import settings_class


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
    assert masked_url(url) == shown


def test_a_server_that_repeats_a_password_does_not_bring_it_into_the_log() -> None:
    url = "redis://:s3%2Fcret@h"
    assert masked_answer("no s3/cret here, nor s3%2Fcret", url) == "no *** here, nor ***"
    assert masked_answer("nothing to hide", "redis://h") == "nothing to hide"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "smtp://ada:hunter22@mail.example.org:25 refused",
            "smtp://ada:***@mail.example.org:25 refused",
        ),
        ("postgresql://u:p%40ss@h/db", "postgresql://u:***@h/db"),
        ("password=hunter22, user=ada", "password=***, user=ada"),
        ('{"api_key": "abc def", "to": "x"}', '{"api_key": ***, "to": "x"}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("X-Api-Key: abcdef", "X-Api-Key: ***"),
        ("aws_secret_access_key='xyz'", "aws_secret_access_key=***"),
    ],
)
def test_a_secret_is_masked_where_it_is_named_or_in_a_url(text: str, kept: str) -> None:
    assert masked_text(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "the server said 550 no such user",
        "http://example.org:8080/a@b",
        "KeyError: 'token'",
        "a token ring, a secret garden",
        '  File "tasks/mail/task.py", line 12, in send_email',
    ],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert masked_text(text) == text


def test_the_settings_own_secrets_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_application: Any = {"smtp": SmtpSettings(url=SecretStr("smtp://ada:hunter22@mail.example.org"))}
    ours = settings_class()(api=ApiSettings(keys=(SecretStr("open-sesame"),)), **of_the_application)
    monkeypatch.setattr(secrets, "get_settings", lambda: ours)
    assert masked_text("said open-sesame and hunter22") == f"said {MASK} and {MASK}"

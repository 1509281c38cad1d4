"""What is kept of a failure holds no secrets."""

from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import SmtpSettings
from jobyard.settings.sections import ApiSettings
from jobyard.settings.settings import settings_class
from jobyard.worker.execution import masking
from jobyard.worker.execution.masking import MASK, masked


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "smtp://ada:hunter22@mail.example.org:25 refused",
            "smtp://ada:********@mail.example.org:25 refused",
        ),
        ("postgresql://u:p%40ss@h/db", "postgresql://u:********@h/db"),
        ("password=hunter22, user=ada", "password=********, user=ada"),
        ('{"api_key": "abc def", "to": "x"}', '{"api_key": ********, "to": "x"}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ********"),
        ("X-Api-Key: abcdef", "X-Api-Key: ********"),
        ("aws_secret_access_key='xyz'", "aws_secret_access_key=********"),
    ],
)
def test_a_secret_is_masked_where_it_is_named_or_in_a_url(text: str, kept: str) -> None:
    assert masked(text) == kept


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
    assert masked(text) == text


def test_the_settings_own_secrets_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_application: Any = {"smtp": SmtpSettings(url=SecretStr("smtp://ada:hunter22@mail.example.org"))}
    ours = settings_class()(api=ApiSettings(keys=(SecretStr("open-sesame"),)), **of_the_application)
    monkeypatch.setattr(masking, "get_settings", lambda: ours)
    assert masked("said open-sesame and hunter22") == f"said {MASK} and {MASK}"

"""Which headers hold a key."""

import pytest
from pydantic import SecretStr

from jobyard.http.access import has_key

# Every last byte that UTF-8 can have, and every printable character of ASCII.
ENDS = [chr(number) for number in range(0x21, 0x7F)] + [chr(number) for number in range(0x80, 0x140)]


@pytest.mark.parametrize("place", ["authorization", "api_key"])
def test_a_key_is_taken_whatever_its_last_letter(place: str) -> None:
    for end in ENDS:
        key = f"key{end}"
        sent = key.encode().decode("latin-1")  # as a server hands on the bytes of a header
        given = {"authorization": f"Bearer {sent}", "api_key": ""}
        if place == "api_key":
            given = {"authorization": "", "api_key": sent}
        assert has_key([SecretStr("other"), SecretStr(key)], **given), repr(end)
        assert not has_key([SecretStr(f"{key}x")], **given), repr(end)


@pytest.mark.parametrize(
    "authorization", ["bearer  key ", "BEARER key", "Bearer\tkey", "Basic key", "key", ""]
)
def test_the_scheme_is_bearer_in_any_case(authorization: str) -> None:
    expected = authorization.lower().startswith("bearer ")
    assert has_key([SecretStr("key")], authorization, "") is expected

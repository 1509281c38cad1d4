"""What the ledger may keep of an API key."""

import re

from pydantic import SecretStr

from jobyard.settings.key_fingerprint import key_fingerprint


def test_a_key_has_one_short_name_in_every_process_and_version() -> None:
    # What stands in ledgers is compared with it, so it may never change.
    assert key_fingerprint(SecretStr("a-key-of-some-length")) == "key:d7412d84"


def test_keys_differ_in_their_names_and_no_name_shows_its_key() -> None:
    keys = ["deadbeef", "deadbeef ", "schlüssel-zwei", "0" * 64]
    names = [key_fingerprint(SecretStr(key)) for key in keys]
    assert len(set(names)) == len(keys)
    for key, name in zip(keys, names, strict=True):
        assert re.fullmatch("key:[0-9a-f]{8}", name)
        assert key not in name

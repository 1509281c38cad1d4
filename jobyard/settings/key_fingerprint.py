"""The short, one-way name of an API key, for the ledger and for people; the key itself is never shown."""

from functools import cache
from hashlib import scrypt
from typing import Final

from pydantic import SecretStr

# One salt for all installations, so that every process gives a key the same name.
_SALT: Final = b"jobyard: the fingerprint of an API key"


@cache
def key_fingerprint(key: SecretStr) -> str:
    """Return a name such as `key:1a2b3c4d`.

    Every holder of a key can read the names of the others, and no rule says that a key is long and random.
    A fast hash would let them try a billion guesses a second. scrypt (RFC 7914) takes 16 MiB and about 50 ms
    for each guess, and for the server once for each key; of a random key the name tells 32 bits.
    """
    digest = scrypt(key.get_secret_value().encode(), salt=_SALT, n=2**14, r=8, p=1, dklen=4)
    return f"key:{digest.hex()}"

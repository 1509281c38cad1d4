"""Parses mail addresses as people write them, and checks texts that become headers."""

import re
from email.headerregistry import Address
from typing import Final
from unicodedata import category

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# The configured mail server decides about `localhost` and the names of a private network, so they are allowed
# here; the package's documentation names this list for that.
SPECIAL_USE_DOMAIN_NAMES.clear()

_SPECIALS: Final = frozenset('()<>@,:;\\"[]')  # RFC 5322, 3.2.3, less the full stop

# The beginning of an encoded word of RFC 2047. Python decodes it even without an end, line breaks included,
# and writes the result unchanged (CVE-2024-6923; measured on 3.11.7: a subject with one added a header).
_ENCODED_WORD: Final = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)


def check_header_text(text: str) -> str:
    """Return a text that may become a header; raises `ValueError` for one that would become two."""
    if any(category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise ValueError("must be one line without control characters")
    if _ENCODED_WORD.search(text):
        raise ValueError("must be plain text, without encoded words (=?...?=), which are added where needed")
    return text


def check_address(text: str) -> str:
    """Return an address, with its name, in the form of RFC 5322; raises `ValueError`."""
    try:
        return str(parse_address(check_header_text(text)))
    except EmailNotValidError as error:
        raise ValueError(f"not a mail address: {error}") from None


def parse_address(text: str) -> Address:
    """Parse `Ada Löwe <ada@example.org>`; raises `EmailNotValidError`.

    Only the syntax is checked: `localhost` and names of a private network are valid too. A domain in another
    script is returned in its ASCII form, which every mail server accepts.
    """
    found = validate_email(
        _quoted(text), allow_display_name=True, check_deliverability=False, globally_deliverable=False
    )
    user = found.ascii_local_part or found.local_part
    return Address(display_name=found.display_name or "", username=user, domain=found.ascii_domain)


def _quoted(text: str) -> str:
    # The package refuses an unquoted name with a full stop or a letter like ö, which people write.
    name, bracket, address = text.rpartition("<")
    is_bare = bracket and name.strip() and not _SPECIALS & set(name)
    return f'"{name.strip()}" <{address}' if is_bare else text

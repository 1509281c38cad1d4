"""Parses mail addresses as people write them."""

from email.headerregistry import Address
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

# The configured mail server decides about `localhost` and the names of a private network, so they are allowed
# here; the package's documentation names this list for that.
SPECIAL_USE_DOMAIN_NAMES.clear()

_SPECIALS: Final = frozenset('()<>@,:;\\"[]')  # RFC 5322, 3.2.3, less the full stop


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

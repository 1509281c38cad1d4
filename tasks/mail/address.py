"""Mail addresses as people write them."""

from email.headerregistry import Address
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

# Whom `localhost` or a name of a private network reaches is for the configured server to say; the
# package's documentation names this list as the place to allow them.
SPECIAL_USE_DOMAIN_NAMES.clear()

_SPECIALS: Final = frozenset('()<>@,:;\\"[]')  # RFC 5322, 3.2.3, less the full stop


def parse_address(text: str) -> Address:
    """Read `Ada Löwe <ada@example.org>`; raises `EmailNotValidError`.

    Only the form is checked: `localhost` and names of a private network are addresses too. A domain of
    another script is given in its ASCII form, which every mail server takes.
    """
    found = validate_email(
        _quoted(text), allow_display_name=True, check_deliverability=False, globally_deliverable=False
    )
    user = found.ascii_local_part or found.local_part
    return Address(display_name=found.display_name or "", username=user, domain=found.ascii_domain)


def _quoted(text: str) -> str:
    # Left bare, a name with a full stop or a letter like ö is refused by the package, and people write it.
    name, bracket, address = text.rpartition("<")
    is_bare = bracket and name.strip() and not _SPECIALS & set(name)
    return f'"{name.strip()}" <{address}' if is_bare else text

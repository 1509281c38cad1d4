"""How a message is written: as Python's `email.policy.SMTP` does it, but for the headers that hold addresses.

Python folds a long name in quotes by dropping the quotes, and what was a name is then read as addresses
(measured on 3.11.7: a name of 80 characters that began with `Bcc: eve@example.com` became the sender).
"""

from email.header import Header
from email.headerregistry import Address
from email.policy import EmailPolicy
from typing import Any

LINE_END = "\r\n"


class MailPolicy(EmailPolicy):
    """Writes each address whole and on a line of its own, which none is too long for (RFC 5322, 2.1.1)."""

    def fold(self, name: str, value: Any) -> str:
        """Overridden so that no address is taken apart."""
        addresses = getattr(value, "addresses", None)
        if addresses is None:
            folded: str = super().fold(name, value)
            return folded
        return f"{name}: " + f",{LINE_END} ".join(_written(address) for address in addresses) + LINE_END

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Overridden for the same reason."""
        if getattr(value, "addresses", None) is None:
            return super().fold_binary(name, value)
        return self.fold(name, value).encode("utf-8" if self.utf8 else "ascii")


def _written(address: Address) -> str:
    name = address.display_name
    if name.isascii():
        return str(address)
    return f"{Header(name, 'utf-8').encode(linesep=LINE_END)}{LINE_END} <{address.addr_spec}>"


MAIL_POLICY = MailPolicy(linesep=LINE_END)

"""From a payload to a MIME message: headers, bodies, templates and attachments."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

from jobyard.jobs.errors import Discard, FileNotStoredError
from jobyard.jobs.files.store import UNKNOWN_MEDIA_TYPE, get_files
from jobyard.settings.settings import get_settings
from tasks.mail.header_folding import MAIL_POLICY

if TYPE_CHECKING:
    from tasks.mail.task import Email

# Whom `localhost` or a name of a private network reaches is for the configured server to say; the
# package's documentation names this list as the place to allow them.
SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_ATTACHED_BYTES = 25 * 1024 * 1024
JOB_HEADER = "X-Jobyard-Job"
MEDIA_TYPE = re.compile(r"^[A-Za-z0-9.+_-]+/[A-Za-z0-9.+_-]+$")

_SPECIALS = frozenset('()<>@,:;\\"[]')  # RFC 5322, 3.2.3, less the full stop
_NESTED = ("multipart/", "message/")  # may not be sent as base64 (RFC 2045, 6.4)


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


def build_message(email: "Email", job_id: str) -> tuple[EmailMessage, list[str]]:
    """Return the message and everyone whom it goes to; `bcc` is in no header.

    Raises `Discard` for a template or an attachment that cannot be used.
    """
    sender = email.sender or get_settings().smtp.sender
    message = EmailMessage(policy=MAIL_POLICY)
    message["Message-ID"] = f"<{job_id}@{parse_address(sender).domain}>"
    message["Date"] = formatdate(usegmt=True)
    message["From"] = parse_address(sender)
    message["Subject"] = email.subject
    message[JOB_HEADER] = job_id
    for name, addresses in (("To", email.to), ("Cc", email.cc), ("Reply-To", _present(email.reply_to))):
        if addresses:
            message[name] = [parse_address(address) for address in addresses]
    _add_bodies(message, email)
    _attach(message, email)
    return message, [parse_address(address).addr_spec for address in (*email.to, *email.cc, *email.bcc)]


def _present(address: str | None) -> tuple[str, ...]:
    return (address,) if address else ()


def _bodies(email: "Email") -> tuple[str | None, str | None]:
    if email.template is None:
        return email.text, email.html
    # Here, for jinja2 takes a tenth of a second of a process's start, and few mails are made of templates.
    from tasks.mail.template import render

    return render(email.template, email.variables)


def _add_bodies(message: EmailMessage, email: "Email") -> None:
    text, html = _bodies(email)
    if text is not None:
        message.set_content(text)
    if html is not None and text is None:
        message.set_content(html, subtype="html")
    elif html is not None:
        message.add_alternative(html, subtype="html")


def _attach(message: EmailMessage, email: "Email") -> None:
    left = MAX_ATTACHED_BYTES
    for attachment in email.attachments:
        try:
            stored = get_files().describe(attachment.file)
            left -= stored.size
            if left < 0:
                raise Discard(f"the attachments are larger than {MAX_ATTACHED_BYTES} bytes together")
            content = get_files().read(stored.id)
        except FileNotStoredError as error:
            raise Discard(f"attachments: {error}") from error
        main, _, sub = _usable_type(attachment.media_type or stored.media_type).partition("/")
        name = attachment.name or _usable_name(stored.name)
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)


def _usable_type(media_type: str) -> str:
    # A stored file's type is what a client or a stranger's server said it was.
    usable = MEDIA_TYPE.fullmatch(media_type) and not media_type.lower().startswith(_NESTED)
    return media_type if usable else UNKNOWN_MEDIA_TYPE


def _usable_name(name: str) -> str:
    # So is its name; `=?` would begin an encoded word, see tasks/mail/task.py.
    return "".join(character if character.isprintable() else "_" for character in name).replace("=?", "=_")

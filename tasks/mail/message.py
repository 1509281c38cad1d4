"""Builds a MIME message from a payload: headers, bodies, templates and attachments."""

from email.message import EmailMessage
from email.utils import formatdate

from config.mail_address import parse_address
from config.settings import SmtpSettings
from jobyard import Discard, FileNotStoredError, get_files, get_section
from tasks.mail.header_folding import MAIL_POLICY
from tasks.mail.payload import MEDIA_TYPE, Email

MAX_ATTACHED_BYTES = 25 * 1024 * 1024
JOB_HEADER = "X-Jobyard-Job"
UNKNOWN_MEDIA_TYPE = "application/octet-stream"
_NESTED = ("multipart/", "message/")  # may not be sent as base64 (RFC 2045, 6.4)


def build_message(email: Email, job_id: str) -> tuple[EmailMessage, list[str]]:
    """Return the message and all its recipients; no header names the `bcc` recipients.

    Raises `Discard` for a template or an attachment that cannot be used.
    """
    sender = email.sender or get_section(SmtpSettings).sender
    message = EmailMessage(policy=MAIL_POLICY)
    message["Message-ID"] = f"<{job_id}@{parse_address(sender).domain}>"
    message["Date"] = formatdate(usegmt=True)
    message["From"] = parse_address(sender)
    message["Subject"] = email.subject
    message[JOB_HEADER] = job_id
    for name, addresses in (("To", email.to), ("Cc", email.cc), ("Reply-To", _as_tuple(email.reply_to))):
        if addresses:
            message[name] = [parse_address(address) for address in addresses]
    _add_bodies(message, email)
    _attach(message, email)
    return message, [parse_address(address).addr_spec for address in (*email.to, *email.cc, *email.bcc)]


def _as_tuple(address: str | None) -> tuple[str, ...]:
    return (address,) if address else ()


def _bodies(email: Email) -> tuple[str | None, str | None]:
    if email.template is None:
        return email.text, email.html
    # Imported here, because jinja2 takes 0.1 s of a process's start, and few mails use templates.
    from tasks.mail.template import render

    return render(email.template, email.variables)


def _add_bodies(message: EmailMessage, email: Email) -> None:
    text, html = _bodies(email)
    if text is not None:
        message.set_content(text)
    if html is not None and text is None:
        message.set_content(html, subtype="html")
    elif html is not None:
        message.add_alternative(html, subtype="html")


def _attach(message: EmailMessage, email: Email) -> None:
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
        main, _, sub = _usable_media_type(attachment.media_type or stored.media_type).partition("/")
        name = attachment.name or _usable_name(stored.name)
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)


def _usable_media_type(media_type: str) -> str:
    # A stored file's type comes from a client or from a foreign server, and may be anything.
    usable = MEDIA_TYPE.fullmatch(media_type) and not media_type.lower().startswith(_NESTED)
    return media_type if usable else UNKNOWN_MEDIA_TYPE


def _usable_name(name: str) -> str:
    # A stored file's name may be anything too; `=?` would begin an encoded word, see config/mail_address.py.
    return "".join(character if character.isprintable() else "_" for character in name).replace("=?", "=_")

"""From a payload to a MIME message: headers, bodies, templates and attachments."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, select_autoescape
from jinja2.sandbox import SandboxedEnvironment

from config.settings import get_settings
from jobs.errors import Discard, FileNotStoredError
from jobs.files import get_files

if TYPE_CHECKING:
    from tasks.mail import Email

# Whom `localhost` or a name of a private network reaches is for the configured server to say; the
# package's documentation names this list as the place to allow them.
SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_ATTACHED_BYTES = 25 * 1024 * 1024
JOB_HEADER = "X-Jobyard-Job"


def parse_address(text: str) -> tuple[str, str]:
    """Split `Ada <ada@example.org>` into the name and the address; raises `EmailNotValidError`.

    Only the form is checked: `localhost` and names of a private network are addresses too.
    """
    found = validate_email(
        text, allow_display_name=True, check_deliverability=False, globally_deliverable=False
    )
    return found.display_name or "", found.normalized


def build_message(email: "Email", job_id: str) -> tuple[EmailMessage, list[str]]:
    """Return the message and everyone whom it goes to; `bcc` is in no header.

    Raises `Discard` for a template or an attachment that cannot be used.
    """
    sender = email.sender or get_settings().smtp.sender
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = f"<{job_id}@{parse_address(sender)[1].rpartition('@')[2]}>"
    message["Date"] = formatdate(usegmt=True)
    message["From"] = _header(sender)
    message["Subject"] = email.subject
    message[JOB_HEADER] = job_id
    for name, addresses in (("To", email.to), ("Cc", email.cc), ("Reply-To", _present(email.reply_to))):
        if addresses:
            message[name] = [_header(address) for address in addresses]
    _add_bodies(message, email)
    _attach(message, email)
    return message, [parse_address(address)[1] for address in (*email.to, *email.cc, *email.bcc)]


def _present(address: str | None) -> tuple[str, ...]:
    return (address,) if address else ()


def _header(text: str) -> Address:
    name, address = parse_address(text)
    user, _, domain = address.rpartition("@")
    return Address(display_name=name, username=user, domain=domain)


def _add_bodies(message: EmailMessage, email: "Email") -> None:
    text, html = (email.text, email.html) if email.template is None else _render(email)
    if text is not None:
        message.set_content(text)
    if html is not None and text is None:
        message.set_content(html, subtype="html")
    elif html is not None:
        message.add_alternative(html, subtype="html")


def _render(email: "Email") -> tuple[str | None, str | None]:
    text, html = (_render_one(email, ending) for ending in ("txt", "html"))
    if text is None and html is None:
        folder = get_settings().smtp.templates
        names = sorted({path.name.split(".")[0] for path in folder.glob("*.j2")})
        raise Discard(
            f"there is no mail template {email.template!r} in {folder}; there are: {', '.join(names)}"
        )
    return text, html


def _render_one(email: "Email", ending: str) -> str | None:
    try:
        template = _environment(get_settings().smtp.templates).get_template(f"{email.template}.{ending}.j2")
        return template.render(email.variables)
    except TemplateNotFound:
        return None
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise Discard(f"mail template {email.template}.{ending}.j2: {error}") from error


@cache
def _environment(folder: Path) -> SandboxedEnvironment:
    # Sandboxed, because the variables come from requests; strict, because a mail that greets nobody by
    # name is worse than none.
    return SandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default_for_string=False),
    )


def _attach(message: EmailMessage, email: "Email") -> None:
    left = MAX_ATTACHED_BYTES
    for attachment in email.attachments:
        try:
            stored = get_files().describe(attachment.file)
        except FileNotStoredError as error:
            raise Discard(f"attachments: {error}") from error
        left -= stored.size
        if left < 0:
            raise Discard(f"the attachments are larger than {MAX_ATTACHED_BYTES} bytes together")
        main, _, sub = (attachment.media_type or stored.media_type).partition("/")
        message.add_attachment(
            get_files().read(stored.id), maintype=main, subtype=sub, filename=attachment.name or stored.name
        )

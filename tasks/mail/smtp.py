"""One SMTP session: connects, logs in, sends one message, and interprets the answer."""

import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from config.settings import SmtpSettings, smtp_url
from jobyard import Discard, JobyardError, get_section
from tasks.mail.bounded_replies import BoundedSMTP, BoundedSMTPS
from tasks.mail.delivery import Delivery
from tasks.mail.header_folding import MAIL_POLICY

DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
HINT = "see JOBYARD_SMTP__URL"
MAX_REPLY_CHARACTERS = 500

Replies = Mapping[str, tuple[int, bytes]]


class TemporaryMailError(JobyardError):
    """The server cannot be reached, or refuses the mail for now (4xx)."""


def deliver(message: EmailMessage, recipients: Sequence[str]) -> Delivery:
    """Send a message to these recipients in one envelope, and return what the server said to each.

    Raises `TemporaryMailError` where it was sent to nobody and another attempt may succeed, and `Discard`
    where none can.
    """
    if not recipients:
        return Delivery()
    with _translate_errors(), _session() as server:
        replies = _send(server, message, recipients)
    said = {address: (code, f"{code} {_text(reply)}") for address, (code, reply) in replies.items()}
    return Delivery(
        accepted=tuple(address for address in recipients if address not in said),
        refused={address: reply for address, (code, reply) in said.items() if code >= 500},
        deferred={address: reply for address, (code, reply) in said.items() if code < 500},
    )


def _send(server: smtplib.SMTP, message: EmailMessage, recipients: Sequence[str]) -> Replies:
    """Send a message; return the server's replies to the recipients that it did not accept."""
    server.ehlo_or_helo_if_needed()
    needs_utf8 = _needs_utf8(message, recipients)
    if needs_utf8 and not server.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError("an address has letters beyond ASCII, which needs SMTPUTF8")
    # Not by `send_message`, which changes "From " at the beginning of a line to ">From ".
    content = message.as_bytes(policy=MAIL_POLICY.clone(utf8=needs_utf8))
    sender = message["From"].addresses[0].addr_spec
    try:
        return server.sendmail(
            sender, recipients, content, ["SMTPUTF8", "BODY=8BITMIME"] if needs_utf8 else []
        )
    except smtplib.SMTPRecipientsRefused as error:
        # Sent to nobody. A 421 ends the session, so it is the last reply, and holds for the rest as well.
        last = list(error.recipients.values())[-1]
        return {address: error.recipients.get(address, last) for address in recipients}


def _needs_utf8(message: EmailMessage, recipients: Sequence[str]) -> bool:
    # A header may have such an address although none of these recipients has.
    in_headers = [
        address.addr_spec
        for name in ("From", "To", "Cc")
        if name in message
        for address in message[name].addresses
    ]
    return not "".join([*in_headers, *recipients]).isascii()


@contextmanager
def _session() -> Iterator[smtplib.SMTP]:
    url = urlsplit(smtp_url())
    host, port = url.hostname or "localhost", url.port or DEFAULT_PORTS[url.scheme]
    timeout, tls_context = get_section(SmtpSettings).timeout.total_seconds(), ssl.create_default_context()
    server = (
        BoundedSMTPS(host, port, timeout=timeout, context=tls_context)
        if url.scheme == "smtps"
        else BoundedSMTP(host, port, timeout=timeout)
    )
    try:
        if url.scheme == "smtp+starttls":
            server.starttls(context=tls_context)
        if url.username:
            _log_in(server, unquote(url.username), unquote(url.password or ""))
        yield server
    finally:
        _disconnect(server)


def _log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    try:
        server.login(user, password)
    except UnicodeError:
        # smtplib supports ASCII only, and its error would show a character of the password.
        raise Discard(f"the user name or the password holds characters beyond ASCII ({HINT})") from None


def _disconnect(server: smtplib.SMTP) -> None:
    # The server's answer to QUIT is ignored: it has accepted the message already, and an error here would
    # send that mail twice. smtplib's own `with` raises such an error.
    with suppress(smtplib.SMTPException, OSError):
        server.quit()
    server.close()


@contextmanager
def _translate_errors() -> Iterator[None]:
    # The order matters: smtplib's errors are OSErrors, and so are those of ssl.
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        # 535 is final (RFC 4954), and 454 is a temporary fault of the server. Neither holds the password.
        raise _error_by_code(
            error.smtp_code, f"the server refused the login: {_text(error.smtp_error)} ({HINT})"
        ) from error
    except smtplib.SMTPResponseException as error:
        raise _error_by_code(
            error.smtp_code, f"the server said {error.smtp_code} {_text(error.smtp_error)}"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise Discard(
            f"the mail server's certificate is not trusted: {error.verify_message} ({HINT})"
        ) from error
    except smtplib.SMTPServerDisconnected as error:
        raise _unreachable(error) from error
    except smtplib.SMTPException as error:  # a missing extension, or no common login method
        raise Discard(f"the mail server cannot do what this mail needs: {error} ({HINT})") from error
    except OSError as error:
        raise _unreachable(error) from error


def _unreachable(error: OSError) -> TemporaryMailError:
    url = urlsplit(smtp_url())
    where = f"{url.hostname}:{url.port or DEFAULT_PORTS[url.scheme]}"
    reason = str(error) or type(error).__name__
    return TemporaryMailError(f"the mail server at {where} cannot be reached: {reason} ({HINT})")


def _error_by_code(code: int, message: str) -> JobyardError:
    return TemporaryMailError(message) if code < 500 else Discard(message)


def _text(reply: bytes | str) -> str:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return text.replace("\x00", "�")[:MAX_REPLY_CHARACTERS]  # no ledger stores a NUL

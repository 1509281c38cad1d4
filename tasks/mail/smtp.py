"""One SMTP session: connects, logs in, sends one message, and interprets the answer."""

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from config.settings import SmtpSettings, smtp_url
from jobyard import Discard, JobyardError, get_section

DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
HINT = "see JOBYARD_SMTP__URL"


class TemporaryMailError(JobyardError):
    """The server cannot be reached, or refuses the mail for now (4xx)."""


def deliver(message: EmailMessage, recipients: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Send a message; return the accepted recipients, and the refused ones with the server's replies.

    Raises `TemporaryMailError` where another attempt may succeed, and `Discard` where none can.
    """
    unique = list(dict.fromkeys(recipients))
    with _translate_errors(), _session() as server:
        refused = server.send_message(message, message["From"].addresses[0].addr_spec, unique)
    replies = {address: f"{code} {_text(reply)}" for address, (code, reply) in refused.items()}
    return [address for address in unique if address not in replies], replies


@contextmanager
def _session() -> Iterator[smtplib.SMTP]:
    url = urlsplit(smtp_url())
    host, port = url.hostname or "localhost", url.port or DEFAULT_PORTS[url.scheme]
    timeout, tls_context = get_section(SmtpSettings).timeout.total_seconds(), ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(host, port, timeout=timeout, context=tls_context)
        if url.scheme == "smtps"
        else smtplib.SMTP(host, port, timeout=timeout)
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
    except smtplib.SMTPRecipientsRefused as error:
        raise _all_refused(error.recipients) from error
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
    return TemporaryMailError(f"the mail server cannot be reached: {error or type(error).__name__}")


def _all_refused(refused: dict[str, tuple[int, bytes]]) -> JobyardError:
    replies = "; ".join(f"{address}: {code} {_text(reply)}" for address, (code, reply) in refused.items())
    is_temporary = any(400 <= code < 500 for code, _ in refused.values())
    return _error_by_code(450 if is_temporary else 550, f"the server refused every recipient: {replies}")


def _error_by_code(code: int, message: str) -> JobyardError:
    return TemporaryMailError(message) if code < 500 else Discard(message)


def _text(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply

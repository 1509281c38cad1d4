"""One SMTP session: connect, say who we are, hand over one message, and understand the answer."""

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from config.settings import get_settings
from jobs.errors import Discard, JobyardError

DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
HINT = "see JOBYARD_SMTP__URL"


class TemporaryMailError(JobyardError):
    """The server is out of reach, or says that later may do (4xx)."""


def deliver(message: EmailMessage, recipients: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Send a message; return who will get it, and who was refused with the server's words.

    Raises `TemporaryMailError` where another attempt may do, and `Discard` where none will.
    """
    unique = list(dict.fromkeys(recipients))
    with _named_faults(), _session() as server:
        refused = server.send_message(message, to_addrs=unique)
    words = {address: f"{code} {_text(said)}" for address, (code, said) in refused.items()}
    return [address for address in unique if address not in words], words


@contextmanager
def _session() -> Iterator[smtplib.SMTP]:
    settings = get_settings()
    url = urlsplit(settings.smtp_url)
    host, port = url.hostname or "localhost", url.port or DEFAULT_PORTS[url.scheme]
    timeout, trust = settings.smtp.timeout.total_seconds(), ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(host, port, timeout=timeout, context=trust)
        if url.scheme == "smtps"
        else smtplib.SMTP(host, port, timeout=timeout)
    )
    with server:
        if url.scheme == "smtp+starttls":
            server.starttls(context=trust)
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server


@contextmanager
def _named_faults() -> Iterator[None]:
    # The order matters: smtplib's errors are OSErrors, and so are those of ssl.
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        raise _all_refused(error.recipients) from error
    except smtplib.SMTPAuthenticationError as error:
        # 535 is final (RFC 4954); 454 is the server's own trouble. The password is in neither.
        raise _by_code(
            error.smtp_code, f"the server refused the login: {_text(error.smtp_error)} ({HINT})"
        ) from error
    except smtplib.SMTPNotSupportedError as error:
        raise Discard(f"the mail server cannot do what this mail needs: {error} ({HINT})") from error
    except smtplib.SMTPResponseException as error:
        raise _by_code(
            error.smtp_code, f"the server said {error.smtp_code} {_text(error.smtp_error)}"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise Discard(
            f"the mail server's certificate is not to be trusted: {error.verify_message} ({HINT})"
        ) from error
    except (smtplib.SMTPException, OSError) as error:
        raise TemporaryMailError(
            f"the mail server cannot be reached: {error or type(error).__name__}"
        ) from error


def _all_refused(refused: dict[str, tuple[int, bytes]]) -> JobyardError:
    words = "; ".join(f"{address}: {code} {_text(said)}" for address, (code, said) in refused.items())
    is_temporary = any(400 <= code < 500 for code, _ in refused.values())
    return _by_code(450 if is_temporary else 550, f"the server refused every recipient: {words}")


def _by_code(code: int, words: str) -> JobyardError:
    return TemporaryMailError(words) if code < 500 else Discard(words)


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said

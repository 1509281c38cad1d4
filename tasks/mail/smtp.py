"""One SMTP session: connect, say who we are, hand over one message, and understand the answer."""

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
    """The server is out of reach, or says that later may do (4xx)."""


def deliver(message: EmailMessage, recipients: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Send a message; return who will get it, and who was refused with the server's words.

    Raises `TemporaryMailError` where another attempt may do, and `Discard` where none will.
    """
    unique = list(dict.fromkeys(recipients))
    with _named_faults(), _session() as server:
        refused = server.send_message(message, message["From"].addresses[0].addr_spec, unique)
    words = {address: f"{code} {_text(said)}" for address, (code, said) in refused.items()}
    return [address for address in unique if address not in words], words


@contextmanager
def _session() -> Iterator[smtplib.SMTP]:
    url = urlsplit(smtp_url())
    host, port = url.hostname or "localhost", url.port or DEFAULT_PORTS[url.scheme]
    timeout, trust = get_section(SmtpSettings).timeout.total_seconds(), ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(host, port, timeout=timeout, context=trust)
        if url.scheme == "smtps"
        else smtplib.SMTP(host, port, timeout=timeout)
    )
    try:
        if url.scheme == "smtp+starttls":
            server.starttls(context=trust)
        if url.username:
            _log_in(server, unquote(url.username), unquote(url.password or ""))
        yield server
    finally:
        _say_goodbye(server)


def _log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    try:
        server.login(user, password)
    except UnicodeError:
        # smtplib knows ASCII alone; its error would show a character of the password.
        raise Discard(f"the user name or the password holds characters beyond ASCII ({HINT})") from None


def _say_goodbye(server: smtplib.SMTP) -> None:
    # What the server says to QUIT changes nothing: its answer to the message has counted, and as a
    # failure it would send a mail twice that was taken. smtplib's own `with` raises it.
    with suppress(smtplib.SMTPException, OSError):
        server.quit()
    server.close()


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
    except smtplib.SMTPResponseException as error:
        raise _by_code(
            error.smtp_code, f"the server said {error.smtp_code} {_text(error.smtp_error)}"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise Discard(
            f"the mail server's certificate is not to be trusted: {error.verify_message} ({HINT})"
        ) from error
    except smtplib.SMTPServerDisconnected as error:
        raise _out_of_reach(error) from error
    except smtplib.SMTPException as error:  # no such extension, no login that both sides know
        raise Discard(f"the mail server cannot do what this mail needs: {error} ({HINT})") from error
    except OSError as error:
        raise _out_of_reach(error) from error


def _out_of_reach(error: OSError) -> TemporaryMailError:
    return TemporaryMailError(f"the mail server cannot be reached: {error or type(error).__name__}")


def _all_refused(refused: dict[str, tuple[int, bytes]]) -> JobyardError:
    words = "; ".join(f"{address}: {code} {_text(said)}" for address, (code, said) in refused.items())
    is_temporary = any(400 <= code < 500 for code, _ in refused.values())
    return _by_code(450 if is_temporary else 550, f"the server refused every recipient: {words}")


def _by_code(code: int, words: str) -> JobyardError:
    return TemporaryMailError(words) if code < 500 else Discard(words)


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said

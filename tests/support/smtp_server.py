"""A real SMTP server whose answers are written beforehand, each for one recipient, so tests can share it."""

import ssl
from asyncio import Event, Transport
from collections import defaultdict, deque
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.processes import free_port
from tests.support.waiting import wait_until

DROP = "drop"  # instead of an answer: the connection ends
SILENCE = "silence"  # instead of an answer: none


@dataclass(frozen=True)
class Received:
    """One mail as it arrived, with its envelope and what is known of the connection."""

    sender: str
    recipients: list[str]
    content: bytes
    user: str | None
    is_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=default)


@dataclass
class Script:
    """What the server is to say. An answer is used once; then everything is accepted."""

    logins: dict[str, str] = field(default_factory=dict)
    needs_login: bool = False
    login_answer: str | None = None
    quit_answer: str = "221 bye"
    received: list[Received] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # to recipients
    _rcpt: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    _data: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))

    def answer_rcpt(self, address: str, *answers: str) -> None:
        self._rcpt[address].extend(answers)

    def answer_data(self, address: str, *answers: str) -> None:
        """Answer a message whose first recipient is `address`, after it has been read."""
        self._data[address].extend(answers)

    def next_rcpt(self, address: str) -> str:
        answer = self._rcpt[address].popleft() if self._rcpt[address] else "250 OK"
        self.said.append(answer)
        return answer

    def next_data(self, address: str) -> str:
        return self._data[address].popleft() if self._data[address] else "250 OK"


class Handler:
    """aiosmtpd's hooks, which look up what to say in the script."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.script.needs_login and not session.authenticated:
            return "530 5.7.0 log in first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.script.next_rcpt(address)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        if answer == SILENCE:
            await Event().wait()
        return _said(server, answer)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.script.next_data(envelope.rcpt_tos[0])
        if answer.startswith("2"):
            login = cast(LoginPassword | None, session.auth_data)
            content = cast(bytes, envelope.original_content)
            user = login.login.decode() if login else None
            is_encrypted = _transport(server).get_extra_info("ssl_object") is not None
            self.script.received.append(
                Received(envelope.mail_from or "", list(envelope.rcpt_tos), content, user, is_encrypted)
            )
        return _said(server, answer)

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return _said(server, self.script.quit_answer)


def _transport(server: SMTP) -> Transport:
    return cast(Transport, server.transport)


def _said(server: SMTP, answer: str) -> str:
    if answer == DROP:
        _transport(server).abort()
    return answer


class SmtpServer:
    """The server on loopback; `tls` is for STARTTLS, `tls_at_once` encrypts from the first byte."""

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        tls_at_once: ssl.SSLContext | None = None,
        knows_utf8: bool = False,
        mechanisms: tuple[str, ...] = ("LOGIN", "PLAIN"),
    ) -> None:
        self.host, self.port, self.script = host, port or free_port(), Script()
        self._tls, self._tls_at_once, self._knows_utf8 = tls, tls_at_once, knows_utf8
        self._without = {"LOGIN", "PLAIN"} - set(mechanisms)
        self._controller: Controller | None = None

    @property
    def received(self) -> list[Received]:
        return self.script.received

    def for_recipient(self, address: str) -> list[Received]:
        return [mail for mail in self.received if address in mail.recipients]

    def for_job(self, job_id: str) -> list[Received]:
        return [mail for mail in self.received if mail.message["X-Jobyard-Job"] == job_id]

    def wait_for(self, address: str, seconds: float = 20) -> Received:
        wait_until(lambda: self.for_recipient(address), seconds, f"a mail to {address}")
        return self.for_recipient(address)[0]

    def start(self) -> None:
        self._controller = Controller(
            Handler(self.script),
            hostname=self.host,
            port=self.port,
            ssl_context=self._tls_at_once,
            tls_context=self._tls,
            enable_SMTPUTF8=self._knows_utf8,
            authenticator=self._log_in,
            auth_require_tls=False,
            auth_exclude_mechanism=self._without,
            server_hostname="mail.test",
            ready_timeout=20,
        )
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> "SmtpServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _log_in(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        answer = self.script.login_answer
        if answer is not None:
            return AuthResult(success=False, handled=False, message=answer)
        is_right = self.script.logins.get(login.login.decode()) == login.password.decode()
        return AuthResult(success=is_right, handled=False, auth_data=login)

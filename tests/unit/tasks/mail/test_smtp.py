"""One SMTP session with a real server: which answers are final, which are not, and what is said of each."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from threading import Thread

import pytest

from jobyard.jobs.errors import Discard
from tasks.mail.delivery import Delivery
from tasks.mail.smtp import TemporaryMailError, deliver
from tests.support.certificates import Certificate, make_certificate
from tests.support.changed_settings import changed_settings
from tests.support.http_server import needs_second_loopback
from tests.support.processes import free_port
from tests.support.smtp_server import DROP, SmtpServer

TO_BOB = Delivery(accepted=("bob@example.org",))
PASSWORD = "open:sesame/1"
WRITTEN = "open%3Asesame%2F1"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def mail(sender: str = "Ada <ada@example.org>") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["Subject"] = "Hi"
    message.set_content("Hello\n.\nworld")
    return message


def send(
    server: SmtpServer,
    *recipients: str,
    scheme: str = "smtp",
    login: str = "",
    message: EmailMessage | None = None,
) -> Delivery:
    url = f"{scheme}://{login}localhost:{server.port}"
    with changed_settings(SMTP__URL=url, SMTP__TIMEOUT="5"):
        return deliver(message or mail(), list(recipients) or ["bob@example.org"])


def test_everyone_is_in_one_envelope(server: SmtpServer) -> None:
    delivery = send(server, "bob@example.org", "eve@example.org")
    assert delivery == Delivery(accepted=("bob@example.org", "eve@example.org"))
    (received,) = server.received
    assert (received.sender, received.recipients) == ("ada@example.org", list(delivery.accepted))
    assert received.message.get_content().splitlines() == ["Hello", ".", "world"]
    assert not received.is_encrypted


def test_the_envelope_has_the_senders_address_whatever_the_name_looks_like(server: SmtpServer) -> None:
    send(server, message=mail('"eve@example.com, <mallory@example.com>" <ada@example.org>'))
    assert server.received[0].sender == "ada@example.org"


def test_some_refused_recipients_are_named_with_the_servers_words(server: SmtpServer) -> None:
    server.script.answer_rcpt("eve@example.org", "550 5.1.1 no such user here")
    server.script.answer_rcpt("bob@example.org", "451 4.7.1 greylisted")
    assert send(server, "ada@example.org", "eve@example.org", "bob@example.org") == Delivery(
        accepted=("ada@example.org",),
        refused={"eve@example.org": "550 5.1.1 no such user here"},
        deferred={"bob@example.org": "451 4.7.1 greylisted"},
    )
    assert server.received[0].recipients == ["ada@example.org"]


def test_when_everyone_is_refused_each_is_named_too(server: SmtpServer) -> None:
    server.script.answer_rcpt("bob@example.org", "550 5.1.1 no such user here")
    server.script.answer_rcpt("eve@example.org", "450 4.2.1 mailbox busy")
    assert send(server, "bob@example.org", "eve@example.org") == Delivery(
        refused={"bob@example.org": "550 5.1.1 no such user here"},
        deferred={"eve@example.org": "450 4.2.1 mailbox busy"},
    )
    assert server.received == []


@pytest.mark.parametrize("answer", ["451 4.3.0 try later", "421 4.3.2 going down", "452 disk full"])
def test_a_4xx_answer_to_the_message_is_not_final(server: SmtpServer, answer: str) -> None:
    server.script.answer_data("bob@example.org", answer)
    with pytest.raises(TemporaryMailError, match=f"the server said {answer}"):
        send(server)
    assert send(server) == TO_BOB


@pytest.mark.parametrize("answer", ["554 5.7.1 looks like spam", "552 5.3.4 too big"])
def test_a_5xx_answer_to_the_message_is_final_in_the_servers_words(server: SmtpServer, answer: str) -> None:
    server.script.answer_data("bob@example.org", answer)
    with pytest.raises(Discard, match=f"the server said {answer}"):
        send(server)


def test_a_server_that_goes_down_between_two_recipients_has_taken_nothing(server: SmtpServer) -> None:
    server.script.answer_rcpt("mallory@example.org", "550 no")
    server.script.answer_rcpt("eve@example.org", "421 4.3.2 going down")
    others = ("bob@example.org", "eve@example.org", "carol@example.org")
    assert send(server, "mallory@example.org", *others) == Delivery(
        refused={"mallory@example.org": "550 no"}, deferred=dict.fromkeys(others, "421 4.3.2 going down")
    )
    assert server.received == []


@pytest.mark.parametrize("answer", ["421 4.4.2 too slow", "500 what?", DROP])
def test_what_is_said_at_the_end_does_not_undo_a_delivery(server: SmtpServer, answer: str) -> None:
    server.script.quit_answer = answer
    assert send(server) == TO_BOB
    assert len(server.received) == 1


def test_what_is_said_at_the_end_does_not_hide_a_refusal(server: SmtpServer) -> None:
    server.script.quit_answer = "421 4.4.2 too slow"
    server.script.answer_data("bob@example.org", "554 5.7.1 looks like spam")
    with pytest.raises(Discard, match="looks like spam"):
        send(server)


@pytest.mark.parametrize("where", ["answer_rcpt", "answer_data"])
def test_a_broken_connection_is_not_final(server: SmtpServer, where: str) -> None:
    getattr(server.script, where)("bob@example.org", DROP)
    with pytest.raises(TemporaryMailError, match="cannot be reached"):
        send(server)


def test_a_refused_connection_is_not_final() -> None:
    with pytest.raises(TemporaryMailError, match=r"cannot be reached: .*Connection refused"):
        send(SmtpServer(free_port()))


def test_a_name_without_an_address_is_not_final() -> None:
    with (
        changed_settings(SMTP__URL="smtp://mail.invalid"),
        pytest.raises(TemporaryMailError, match="cannot be reached"),
    ):
        deliver(mail(), ["bob@example.org"])


@pytest.fixture
def saying() -> Iterator[Callable[[bytes], SmtpServer]]:
    """A server that says its words to whoever connects, and nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def say(words: bytes) -> SmtpServer:
            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(words)
                    connection.recv(1000)

            Thread(target=serve, daemon=True).start()
            return SmtpServer(listener.getsockname()[1])

        yield say


def test_a_server_that_takes_no_mail_at_all_is_final(saying: Callable[[bytes], SmtpServer]) -> None:
    with pytest.raises(Discard, match="554 no mail here"):
        send(saying(b"554 no mail here\r\n"))


def test_a_server_that_is_too_busy_to_greet_is_not_final(saying: Callable[[bytes], SmtpServer]) -> None:
    with pytest.raises(TemporaryMailError, match="421 too busy"):
        send(saying(b"421 too busy\r\n"))


def test_a_server_that_never_greets_is_given_up_at_the_timeout() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        changed_settings(SMTP__URL=f"smtp://127.0.0.1:{silent.getsockname()[1]}", SMTP__TIMEOUT="0.2"),
        pytest.raises(TemporaryMailError, match="timed out"),
    ):
        deliver(mail(), ["bob@example.org"])


@pytest.mark.parametrize("mechanisms", [("LOGIN", "PLAIN"), ("PLAIN",), ("LOGIN",)])
def test_the_login_of_the_url_is_used(mechanisms: tuple[str, ...]) -> None:
    with SmtpServer(mechanisms=mechanisms) as server:
        server.script.needs_login = True
        server.script.logins["ada@example.org"] = PASSWORD
        send(server, login=f"ada%40example.org:{WRITTEN}@")
        assert server.received[0].user == "ada@example.org"


def test_a_wrong_password_is_final_and_not_repeated_to_the_reader(server: SmtpServer) -> None:
    with pytest.raises(Discard, match=r"refused the login: .*invalid.*JOBYARD_SMTP__URL") as caught:
        send(server, login=f"ada:{WRITTEN}@")
    assert PASSWORD not in str(caught.value)
    assert "535" in repr(caught.value.__cause__)


def test_trouble_at_the_servers_login_is_not_final(server: SmtpServer) -> None:
    server.script.login_answer = "454 4.7.0 Temporary authentication failure"
    with pytest.raises(TemporaryMailError, match=r"refused the login: .*Temporary authentication failure"):
        send(server, login="ada:secret@")


def test_a_login_that_was_not_given_is_final_in_the_servers_words(server: SmtpServer) -> None:
    server.script.needs_login = True
    with pytest.raises(Discard, match=r"530 5\.7\.0 log in first"):
        send(server)


def test_a_server_that_knows_no_login_of_ours_is_final() -> None:
    with SmtpServer(mechanisms=()) as server, pytest.raises(Discard, match="cannot do what this mail needs"):
        send(server, login="ada:secret@")


def test_a_password_beyond_ascii_is_final_and_none_of_it_is_shown(server: SmtpServer) -> None:
    with pytest.raises(Discard, match="beyond ASCII") as caught:
        send(server, login="ada:s%C3%A9same@")
    assert "é" not in str(caught.value)
    assert "\\xe9" not in str(caught.value)


def test_an_address_beyond_ascii_needs_a_server_that_knows_them(server: SmtpServer) -> None:
    with pytest.raises(Discard, match=r"SMTPUTF8|internationalized"):
        send(server, "dörte@example.org")
    with SmtpServer(knows_utf8=True) as modern:
        assert send(modern, "dörte@example.org") == Delivery(accepted=("dörte@example.org",))


def test_an_address_beyond_ascii_in_a_header_needs_one_too(server: SmtpServer) -> None:
    message = mail()
    message["To"] = "dörte@example.org, bob@example.org"
    with pytest.raises(Discard, match="SMTPUTF8"):
        send(server, message=message)
    with SmtpServer(knows_utf8=True) as modern:
        assert send(modern, message=message) == TO_BOB
        assert modern.received[0].message["To"] == "dörte@example.org, bob@example.org"


def test_lines_arrive_as_they_are_written(server: SmtpServer) -> None:
    message = mail()
    message.set_content("From here on:\n>From\n.\n..\nFrom", cte="7bit")
    send(server, message=message)
    assert server.received[0].message.get_content() == "From here on:\r\n>From\r\n.\r\n..\r\nFrom\r\n"


def test_a_reply_can_be_stored_whatever_the_server_says(saying: Callable[[bytes], SmtpServer]) -> None:
    with pytest.raises(Discard, match=r"the server said 554 �{3}x+$") as caught:
        send(saying(b"554 \x00\xff\x00" + b"x" * 4000 + b"\r\n"))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_trusted_server_is_sent_to_in_cipher(certificate: Certificate, scheme: str) -> None:
    with certificate.trusted(), encrypted(certificate, scheme) as server:
        server.script.logins["ada"] = PASSWORD
        send(server, scheme=scheme, login=f"ada:{WRITTEN}@")
        assert server.received[0].is_encrypted
        assert server.received[0].user == "ada"


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_an_untrusted_certificate_is_final(certificate: Certificate, scheme: str) -> None:
    with encrypted(certificate, scheme) as server:
        with pytest.raises(Discard, match=r"certificate is not trusted: self.signed"):
            send(server, scheme=scheme)
        assert server.received == []


@needs_second_loopback
def test_a_certificate_for_another_name_is_final(certificate: Certificate) -> None:
    with (
        certificate.trusted(),
        SmtpServer(host="127.0.0.2", tls_at_once=certificate.server_context()) as server,
        changed_settings(SMTP__URL=f"smtps://127.0.0.2:{server.port}"),
        pytest.raises(Discard, match=r"not trusted: IP address mismatch"),
    ):
        deliver(mail(), ["bob@example.org"])


def test_starttls_that_the_server_does_not_offer_is_final_and_nothing_is_sent_in_clear(
    server: SmtpServer,
) -> None:
    with pytest.raises(Discard, match="STARTTLS"):
        send(server, scheme="smtp+starttls")
    assert server.received == []


def encrypted(certificate: Certificate, scheme: str) -> SmtpServer:
    context = certificate.server_context()
    return SmtpServer(tls_at_once=context) if scheme == "smtps" else SmtpServer(tls=context)


def test_a_reply_without_an_end_is_given_up_and_the_server_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk_for_ever() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(b"220 ready\r\n")
                while True:
                    connection.sendall(b"250-and more\r\n" * 100)

        Thread(target=talk_for_ever, daemon=True).start()
        port = listener.getsockname()[1]
        named = rf"127\.0\.0\.1:{port}.*more than 1000 lines.*JOBYARD_SMTP__URL"
        with (
            changed_settings(SMTP__URL=f"smtp://127.0.0.1:{port}"),
            pytest.raises(TemporaryMailError, match=named),
        ):
            deliver(mail(), ["bob@example.org"])

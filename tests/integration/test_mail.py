"""Mails through the ledger, a real worker and a real SMTP server, and the mail catcher of `make run`."""

import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from config.settings import MailboxSettings
from jobyard import get_section
from jobyard.broker.publisher import get_publisher
from jobyard.jobs.files.store import get_files
from jobyard.jobs.job import Cause, Job, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_attempts
from jobyard.local.mailbox import mail_catcher
from jobyard.settings import Settings
from jobyard.tasks.handle import JobHandle
from tasks.mail.payload import Email, Receipt
from tasks.mail.task import send_email
from tests.support.processes import Program, YardProcesses, answers
from tests.support.smtp_server import DROP, SmtpServer
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[SmtpServer]:
    """Where the yard's mail goes; tests share it, because its answers are written for each recipient."""
    with SmtpServer(get_section(MailboxSettings).port) as running:
        yield running


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[YardProcesses]:
    """A yard of the test's own, with nothing started."""
    yard = YardProcesses(tmp_path)
    yield yard
    yard.kill_everything()


def someone() -> str:
    """A recipient whom no other test writes to."""
    return f"{new_id()}@example.org"


def submitted(**fields: Any) -> JobHandle[Receipt]:
    return send_email.delay(Email.model_validate({"subject": "Hi", "text": "Hello"} | fields))


def ended(handle: JobHandle[Any], seconds: float = 30) -> Job:
    wait_until(handle.ready, seconds, f"{handle} to end")
    return handle.job


def tried_once(*to: str) -> tuple[Email, JobHandle[Any]]:
    """Hand in a mail that has one attempt."""
    email = Email.model_validate({"to": to, "subject": "Hi", "text": "Hello"})
    return email, send_email.submit(email, max_attempts=1)


def failure_of(handle: JobHandle[Any]) -> tuple[Cause, str]:
    job = ended(handle)
    assert (job.status, job.attempt) == (Status.DEAD, 1)
    assert job.failure is not None
    return job.failure.cause, job.failure.message


@pytest.mark.usefixtures("worker")
def test_a_mail_arrives_whole_and_the_receipt_says_whom_it_was_taken_for(server: SmtpServer) -> None:
    to, cc, bcc = someone(), someone(), someone()
    file = get_files().save(b"\x00\x01 bytes", name="a.bin", media_type="application/x-bin").id
    handle = submitted(
        to=f'"Löwe, Ada" <{to}>',
        cc=cc,
        bcc=bcc,
        subject="Grüße",
        html="<p>Hi</p>",
        attachments=[{"file": file}],
    )
    receipt = handle.get(timeout=30)
    assert receipt.accepted == (to, cc, bcc)
    assert receipt.refused == {}
    mail = server.wait_for(to)
    assert (mail.sender, mail.recipients) == ("jobyard@localhost.localdomain", [to, cc, bcc])
    assert bcc.encode() not in mail.content
    message = mail.message
    assert (message["Subject"], message["Cc"]) == ("Grüße", cc)
    assert message["To"].addresses[0].display_name == "Löwe, Ada"
    assert message["Message-ID"] == receipt.message_id == f"<{handle.id}@localhost.localdomain>"
    assert message["X-Jobyard-Job"] == handle.id
    assert [part.get_payload(decode=True) for part in message.iter_attachments()] == [b"\x00\x01 bytes"]


@pytest.mark.usefixtures("worker")
def test_a_mail_from_a_template_arrives(server: SmtpServer) -> None:
    to = someone()
    variables = {"name": "Ada", "product": "the yard", "link": "https://example.org/"}
    submitted(to=to, text=None, template="welcome", variables=variables).get(timeout=30)
    body = server.wait_for(to).message.get_body(("plain",))
    assert body is not None
    assert "Hello Ada," in body.get_content()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("answer", ["451 4.7.1 greylisted, come back", DROP])
def test_a_mail_that_cannot_be_taken_now_is_delivered_later_under_the_same_message_id(
    server: SmtpServer, ledger: Ledger, answer: str
) -> None:
    to = someone()
    server.script.answer_data(to, answer)
    handle = submitted(to=to)
    receipt = handle.get(timeout=30)
    assert handle.job.attempt == 2
    (first,) = get_attempts(ledger.database, handle.id)
    assert first.failure.type == "TemporaryMailError"
    assert ("cannot be reached" if answer == DROP else answer) in first.failure.message
    (mail,) = server.for_recipient(to)
    assert mail.message["Message-ID"] == receipt.message_id == f"<{handle.id}@localhost.localdomain>"


@pytest.mark.usefixtures("worker")
def test_a_mail_waits_for_a_server_that_is_down(server: SmtpServer) -> None:
    to = someone()
    server.stop()
    try:
        handle = submitted(to=to)
        wait_until(lambda: handle.job.status is Status.RETRYING, 30, "the first attempt to fail")
        failure = handle.job.failure
        assert failure is not None
        assert (failure.type, failure.cause) == ("TemporaryMailError", Cause.EXCEPTION)
        assert "cannot be reached" in failure.message
    finally:
        server.start()
    assert handle.get(timeout=60).accepted == (to,)
    assert len(server.for_recipient(to)) == 1


@pytest.mark.usefixtures("worker")
def test_a_5xx_answer_is_final_in_the_servers_words(server: SmtpServer) -> None:
    to = someone()
    server.script.answer_data(to, "554 5.7.1 this looks like spam to us")
    cause, words = failure_of(submitted(to=to))
    assert cause is Cause.DISCARDED
    assert words == "the server said 554 5.7.1 this looks like spam to us"


@pytest.mark.usefixtures("worker")
def test_a_recipient_who_is_refused_for_now_gets_the_mail_later_and_nobody_gets_it_twice(
    server: SmtpServer,
) -> None:
    to, unknown, greylisted, full = (someone() for _ in range(4))
    server.script.answer_rcpt(unknown, "550 5.1.1 no such user here", "250 but nobody asks again")
    server.script.answer_rcpt(greylisted, "450 4.7.1 greylisted", "451 4.7.1 greylisted still")
    server.script.answer_rcpt(full, "452 4.2.2 mailbox full", "550 5.2.1 mailbox closed")
    handle = submitted(to=[to, unknown], cc=greylisted, bcc=full)
    receipt = handle.get(timeout=60)
    assert receipt.accepted == (to, greylisted)
    assert receipt.refused == {
        unknown: "550 5.1.1 no such user here",
        full: "550 5.2.1 mailbox closed",
    }
    assert [mail.recipients for mail in server.for_job(handle.id)] == [[to], [greylisted]]
    assert {mail.message["Message-ID"] for mail in server.for_job(handle.id)} == {receipt.message_id}


@pytest.mark.usefixtures("worker")
def test_when_attempts_are_used_up_the_failure_names_who_has_the_mail_and_a_replay_spares_them(
    server: SmtpServer, ledger: Ledger
) -> None:
    to, greylisted = someone(), someone()
    server.script.answer_rcpt(greylisted, "450 4.7.1 greylisted")
    _, handle = tried_once(to, greylisted)
    cause, words = failure_of(handle)
    assert cause is Cause.RETRY_LATER
    assert words == f"refused for now {greylisted}: 450 4.7.1 greylisted; sent to {to}"
    get_publisher().publish([ledger.replay(handle.id)])
    assert handle.get(timeout=30).accepted == (to, greylisted)
    assert [mail.recipients for mail in server.for_job(handle.id)] == [[to], [greylisted]]


@pytest.mark.usefixtures("worker")
def test_a_replay_without_the_recipient_who_was_refused_ends_well_and_sends_nothing(
    server: SmtpServer, ledger: Ledger
) -> None:
    to, full = someone(), someone()
    server.script.answer_rcpt(full, "452 4.2.2 mailbox full")
    email, handle = tried_once(to, full)
    failure_of(handle)
    mended = email.model_copy(update={"to": (to,)}).model_dump_json()
    get_publisher().publish([ledger.replay(handle.id, mended)])
    assert handle.get(timeout=30).accepted == (to,)
    assert len(server.for_job(handle.id)) == 1


@pytest.mark.usefixtures("worker")
def test_a_mail_that_everyone_is_refused_is_final_once_nobody_is_refused_for_now(server: SmtpServer) -> None:
    unknown, greylisted = someone(), someone()
    server.script.answer_rcpt(unknown, "550 5.1.1 no such user here")
    server.script.answer_rcpt(greylisted, "450 4.7.1 greylisted", "550 5.7.1 spam")
    handle = submitted(to=[unknown, greylisted])
    job = ended(handle)
    assert (job.status, job.attempt) == (Status.DEAD, 2)
    assert job.failure is not None
    assert job.failure.message == (
        "the server refused every recipient: "
        f"refused for good {unknown}: 550 5.1.1 no such user here, {greylisted}: 550 5.7.1 spam"
    )


@pytest.mark.usefixtures("worker")
def test_a_refused_recipient_is_named_in_the_receipt(server: SmtpServer) -> None:
    to, unknown = someone(), someone()
    server.script.answer_rcpt(unknown, "550 5.1.1 no such user here")
    receipt = submitted(to=[unknown, to]).get(timeout=30)
    assert receipt.accepted == (to,)
    assert receipt.refused == {unknown: "550 5.1.1 no such user here"}
    assert server.wait_for(to).message["To"] == f"{unknown}, {to}"


@pytest.mark.usefixtures("worker", "server")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"attachments": [{"file": new_id()}]}, "is stored here"),
        ({"text": None, "template": "farewell"}, "there is no mail template 'farewell'"),
        ({"text": None, "template": "welcome", "variables": {"name": "Ada"}}, "'product' is undefined"),
    ],
)
def test_a_mail_that_can_never_be_made_is_final_and_says_why(fields: dict[str, Any], said: str) -> None:
    cause, words = failure_of(submitted(to=someone(), **fields))
    assert cause is Cause.DISCARDED
    assert said in words


def caught(folder: Path) -> list[EmailMessage]:
    return [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(folder.glob("*"))]


def test_the_mail_catcher_keeps_each_mail_as_a_file(own_yard: YardProcesses) -> None:
    catcher = mail_catcher(own_yard.home / "mails", own_yard.port("MAILBOX"))
    catcher.start()
    try:
        with smtplib.SMTP("127.0.0.1", own_yard.port("MAILBOX"), timeout=10) as client:
            client.sendmail("a@x.org", ["b@x.org"], b"Subject: one\r\n\r\n.dot\r\n\xff\r\n")
            client.sendmail("a@x.org", ["b@x.org", "dörte@x.org"], b"Subject: two\r\n\r\n", ["SMTPUTF8"])
    finally:
        catcher.stop()
    assert [mail["Subject"] for mail in caught(own_yard.home / "mails")] == ["one", "two"]
    first = min((own_yard.home / "mails").iterdir())
    assert first.suffix == ".eml"
    assert first.read_bytes() == b"Subject: one\r\n\r\n.dot\r\n\xff\r\n"


def start_catcher(own_yard: YardProcesses) -> Program:
    port, folder = str(own_yard.port("MAILBOX")), str(own_yard.home / "mails")
    return own_yard.start("mailbox", "jobyard.local.mailbox", port, folder)


def test_the_mail_catcher_runs_until_it_is_told_to_stop(own_yard: YardProcesses) -> None:
    program = start_catcher(own_yard)
    wait_until(lambda: answers(own_yard.port("MAILBOX")), 20, "the mail catcher to answer")
    with smtplib.SMTP("127.0.0.1", own_yard.port("MAILBOX"), timeout=10) as client:
        client.sendmail("a@x.org", ["b@x.org"], b"Subject: one\r\n\r\nHello\r\n")
    assert program.stop() == 0
    assert [mail["Subject"] for mail in caught(own_yard.home / "mails")] == ["one"]
    assert "b@x.org" in program.output()
    assert "Traceback" not in program.output()


def test_a_port_that_is_taken_is_said_plainly_with_the_setting_that_changes_it(
    own_yard: YardProcesses,
) -> None:
    with SmtpServer(own_yard.port("MAILBOX")):
        program = start_catcher(own_yard)
        assert program.process.wait(20) == 1
    assert "JOBYARD_MAILBOX__PORT" in program.output()
    assert "Traceback" not in program.output()

"""A mail to several recipients, of which one is refused for now, and a worker that dies at the second try."""

from jobyard.jobs.job import NewJob, Status, new_id
from tasks.mail.payload import Email, Receipt
from tests.support.own_yard import OwnYard
from tests.support.smtp_server import SILENCE, SmtpServer


def test_a_mail_goes_to_nobody_twice_although_its_worker_is_killed(on_either: OwnYard) -> None:
    own, first, greylisted = on_either, "ada@example.org", "bob@example.org"
    own.settings["JOBYARD_SMTP__RETRY_AFTER"] = "1"
    email = Email(to=(first, greylisted), subject="Hi", text="Hello")
    with SmtpServer(own.port("MAILBOX")) as server:
        server.script.answer_rcpt(greylisted, "450 4.7.1 greylisted", SILENCE)
        worker = own.start_worker()
        job = NewJob(
            new_id(), "email.send", email.model_dump_json(by_alias=True), max_attempts=5, queue="email"
        )
        own.ledger.accept([job])
        own.wait_until(lambda: SILENCE in server.script.said, 30, "the second attempt to be at the server")
        worker.kill()
        own.start_worker()
        own.wait_for([job.id], Status.SUCCEEDED)
        assert [mail.recipients for mail in server.received] == [[first], [greylisted]]
    receipt = Receipt.model_validate_json(own.job(job.id).result or "")
    assert receipt.accepted == (first, greylisted)
    assert own.job(job.id).attempt == 3

"""`email.send`: sends one mail to one set of recipients."""

from jobyard import current_job, task
from tasks.mail.message import build_message
from tasks.mail.payload import Email, Receipt
from tasks.mail.smtp import TemporaryMailError, deliver


@task(
    "email.send",
    queue="email",
    autoretry_for=(TemporaryMailError,),
    max_retries=5,
    retry_backoff=True,
    retry_backoff_max=600,
    time_limit=120,
)
def send_email(email: Email) -> Receipt:
    """Send a mail over SMTP. The Message-ID is made from the job's id, so a repeat can be recognised.

    A 4xx answer and a broken connection are retried; a 5xx answer is final. If the server accepts only some
    recipients, the mail is sent to those, and the receipt names the others.
    """
    message, recipients = build_message(email, current_job().job_id)
    accepted, refused = deliver(message, recipients)
    return Receipt(message_id=message["Message-ID"], accepted=accepted, refused=refused)

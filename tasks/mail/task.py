"""`email.send`: sends one mail to one set of recipients."""

from config.settings import SmtpSettings
from jobyard import Discard, LedgerUnavailableError, RetryLater, current_job, get_section, task
from tasks.mail.delivery import Delivery
from tasks.mail.message import build_message
from tasks.mail.payload import Email, Receipt
from tasks.mail.retry_schedule import retry_schedule
from tasks.mail.smtp import TemporaryMailError, deliver

_schedule = retry_schedule(get_section(SmtpSettings).retry_after, get_section(SmtpSettings).retry_for)


@task(
    "email.send",
    queue="email",
    # The ledger is read before anything is sent: the progress, and the names of attachments.
    autoretry_for=(TemporaryMailError, LedgerUnavailableError),
    max_retries=_schedule.retries,
    retry_backoff=_schedule.first_seconds,
    retry_backoff_max=_schedule.longest_seconds,
    retry_jitter=False,
    time_limit=120,
)
def send_email(email: Email) -> Receipt:
    """Send a mail over SMTP. The Message-ID is made from the job's id, so a repeat can be recognised.

    A 4xx answer and a broken connection are retried for JOBYARD_SMTP__RETRY_FOR; a 5xx answer is final. If
    the server accepts only some recipients, the mail is sent to those. It is tried again with those alone who
    were refused for now, and the receipt names those who were refused for good.
    """
    job = current_job()
    message, recipients = build_message(email, job.job_id)
    earlier = job.progress(Delivery) or Delivery()
    delivery = earlier.followed_by(deliver(message, earlier.waiting(recipients)))
    if delivery.deferred:
        raise RetryLater(None, str(delivery), progress=delivery)
    if not delivery.accepted:
        raise Discard(f"the server refused every recipient: {delivery}")
    return Receipt(
        message_id=message["Message-ID"], accepted=tuple(delivery.accepted), refused=dict(delivery.refused)
    )

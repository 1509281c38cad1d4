"""What is done about loans, behind the counter."""

from celery import shared_task
from django.db import close_old_connections, transaction

from loans.models import Loan


@shared_task
def remind(loan_id):
    close_old_connections()
    with transaction.atomic():
        loan = Loan.objects.select_for_update().get(pk=loan_id)
        loan.reminders += 1
        loan.save()
    return f"{loan.reader}: {loan.title}"


@shared_task(ignore_result=False)
def remind_all():
    return [
        remind.delay(loan_id) is not None
        for loan_id in Loan.objects.order_by("pk").values_list("pk", flat=True)
    ]


def lend(title, reader):
    """Lend a book; the reader is told of it once that is written down."""
    with transaction.atomic():
        loan = Loan.objects.create(title=title, reader=reader)
        remind.delay_on_commit(loan.pk)
    return loan

"""Tests of the loans, which run what is handed in at once."""

from django.test import TransactionTestCase, override_settings
from library.celery import app

from loans.models import Loan
from loans.tasks import lend, remind, remind_all


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class LoanTests(TransactionTestCase):
    def setUp(self):
        app.conf.task_always_eager = True
        app.conf.task_eager_propagates = True

    def test_a_reader_is_told_after_the_commit(self):
        loan = lend("On Computable Numbers", "Ada")
        loan.refresh_from_db()
        assert loan.reminders == 1

    def test_a_reminder_says_who_and_what(self):
        loan = Loan.objects.create(title="Notes", reader="Charles")
        assert remind.delay(loan.pk).get() == "Charles: Notes"

    def test_all_are_reminded(self):
        Loan.objects.create(title="Notes", reader="Charles")
        Loan.objects.create(title="Sketch", reader="Luigi")
        assert remind_all.delay().get() == [True, True]
        assert sum(loan.reminders for loan in Loan.objects.all()) == 2

    def test_an_error_reaches_the_caller(self):
        with self.assertRaises(Loan.DoesNotExist):  # noqa: PT027 (Django's own way)
            remind.delay(0)

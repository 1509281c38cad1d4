"""Lends a book, and prints what the reader was told."""

import json
import os
from time import monotonic, sleep

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")


def main():
    django.setup()
    from loans.tasks import lend, remind

    call_command("migrate", run_syncdb=True, verbosity=0)
    loan, until = lend("Notes", "Ada"), monotonic() + 30
    while loan.reminders < 1 and monotonic() < until:
        sleep(0.05)
        loan.refresh_from_db()
    print(json.dumps({"reminders": loan.reminders, "told": remind.delay(loan.pk).get(timeout=30)}))


if __name__ == "__main__":
    main()

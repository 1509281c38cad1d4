"""Tasks that stock Celery workers run: those of tests/support/stock_celery.py."""

from datetime import timedelta

from jobyard.tasks.external import external

add = external("old.add", deadline=timedelta(seconds=60), result=int)
fail = external("old.fail", deadline=timedelta(seconds=60))
say = external("old.say", deadline=timedelta(seconds=60), result=int)
nobody = external("old.nobody", deadline=timedelta(seconds=2), queue="nobody-serves-this")

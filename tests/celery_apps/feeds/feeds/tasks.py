"""Tasks that try again, and a base class that writes down how they ended."""

import os
from pathlib import Path

from celery import Task, shared_task
from celery.exceptions import MaxRetriesExceededError
from celery.signals import task_failure
from celery.utils.log import get_task_logger

logger = get_task_logger(__name__)


class FeedError(Exception):
    """The server had no answer."""


class Noted(Task):
    """Writes down what became of each run."""

    abstract = True
    journal = os.environ["FEEDS_JOURNAL"]

    def note(self, *words):
        with Path(self.journal).open("a") as journal:
            print(*words, file=journal)

    def before_start(self, task_id, args, kwargs):
        self.note("start", *args)

    def on_success(self, retval, task_id, args, kwargs):
        self.note("success", retval)

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        self.note("retry", exc)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.note("failure", type(exc).__name__, exc)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        self.note("after", status)


@shared_task(base=Noted, bind=True, max_retries=3)
def fetch(self, url):
    logger.info("fetching %s", url)
    try:
        if self.request.retries < 2:
            raise FeedError(f"no answer from {url}")
    except FeedError as error:
        raise self.retry(exc=error, countdown=0.1) from error
    return f"{url} after {self.request.retries} retries"


@shared_task(base=Noted, bind=True, max_retries=1)
def give_up(self, url):
    try:
        raise self.retry(countdown=0.1)
    except MaxRetriesExceededError:
        return "gave up"


@shared_task(
    base=Noted,
    autoretry_for=(FeedError,),
    retry_kwargs={"max_retries": 1},
    retry_backoff=False,
    default_retry_delay=0.1,
)
def never(url):
    raise FeedError(url)


@task_failure.connect
def note_failure(sender=None, exception=None, args=None, **_):
    with Path(Noted.journal).open("a") as journal:
        print("signal", sender.name, exception, *args, file=journal)

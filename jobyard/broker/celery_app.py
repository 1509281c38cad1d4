"""The Celery application. It imports no task, and becomes no program's current application.

`jobyard/worker/entry.py` is what the `celery` command finds.
"""

from celery import Celery

from jobyard.broker.celery_options import celery_options
from jobyard.settings import get_settings
from jobyard.settings.log_setup import join_the_hosts_logging

join_the_hosts_logging()
app = Celery("jobyard", control="jobyard.broker.remote_control:Control", set_as_current=False)
app.conf.update(celery_options(get_settings()))

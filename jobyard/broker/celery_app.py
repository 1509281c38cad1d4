"""The Celery application, which imports no task and does not become a program's current application.

The `celery` command finds it through `jobyard/worker/entry.py`.
"""

from celery import Celery

from jobyard.broker.celery_options import celery_options
from jobyard.settings import ENV_PREFIX, get_settings
from jobyard.settings.extras import EXTRA_OF_BROKER, check_extra
from jobyard.settings.log_setup import use_host_logging
from jobyard.settings.urls.broker_kind import broker_kind

use_host_logging()
check_extra(f"{ENV_PREFIX}BROKER__URL", EXTRA_OF_BROKER[broker_kind(get_settings().broker_url)])
app = Celery("jobyard", control="jobyard.broker.remote_control:Control", set_as_current=False)
app.conf.update(celery_options(get_settings()))

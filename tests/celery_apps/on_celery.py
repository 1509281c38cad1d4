"""Runs a program's `main` on plain Celery, with broker and results in memory and a worker on threads."""

import os
import sys
from importlib import import_module

os.environ["CELERY_BROKER_URL"] = "memory://"
os.environ["CELERY_RESULT_BACKEND"] = "cache+memory://"
sys.path.insert(0, os.getcwd())

from celery.contrib.testing.worker import start_worker

if __name__ == "__main__":
    application, *queues = sys.argv[1:]
    module, _, name = application.partition(":")
    app = getattr(import_module(module), name)
    app.loader.import_default_modules()
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    options = {"pool": "threads", "concurrency": 2, "queues": queues, "loglevel": "WARNING"}
    with start_worker(app, perform_ping_check=False, **options):
        import_module("main").main()
        sys.stdout.flush()
        os._exit(0)  # the worker would take four seconds to stop

"""Settings of the library."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "not a secret"
USE_TZ = True
INSTALLED_APPS = ["loans"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("LIBRARY_DATABASE", BASE_DIR / "library.sqlite3"),
    }
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "library"

"""Django's settings of the project: one database, in the file that the environment names."""

import os

SECRET_KEY = "tests"
INSTALLED_APPS = ["tests.support.django_project"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DJANGO_DATABASE"]}}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

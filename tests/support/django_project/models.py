"""One table."""

from django.db import models


class Order(models.Model):  # type: ignore[misc]
    number = models.IntegerField()

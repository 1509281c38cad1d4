"""What was lent to whom."""

from django.db import models


class Loan(models.Model):
    title = models.CharField(max_length=100)
    reader = models.CharField(max_length=100)
    reminders = models.IntegerField(default=0)

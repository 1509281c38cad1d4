"""What the shop does at set times."""

from jobyard import Schedule, crontab
from tasks.reports import Month, write_report

SCHEDULES = (
    Schedule("january-report", write_report, Month(year=2026, month=1), crontab(minute="0", hour="3")),
)

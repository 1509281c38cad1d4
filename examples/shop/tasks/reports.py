"""Monthly figures."""

from config.settings import ShopSettings
from jobyard import Payload, get_section, task


class Month(Payload):
    year: int
    month: int


class Report(Payload):
    title: str
    orders: int


class DatabaseBusyError(Exception): ...


@task("report.write", queue="reports", autoretry_for=(DatabaseBusyError,), retry_backoff=True, time_limit=120)
def write_report(month: Month) -> Report:
    orders = month.month * get_section(ShopSettings).orders_per_month
    return Report(title=f"{month.year}-{month.month:02}", orders=orders)

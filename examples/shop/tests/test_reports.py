"""A task is a function: it is tested by calling it."""

from tasks.reports import Month, Report, write_report


def test_a_report_counts_the_orders_of_its_month() -> None:
    assert write_report(Month(year=2026, month=11)) == Report(title="2026-11", orders=1100)

"""Reads CSV."""

import csv
from io import StringIO

from tasks.payload import Payload
from tasks.web.limits import Budget

MAX_ROWS = 5000
_SAMPLE = 16 * 1024


class Table(Payload):
    """A table: its first line as the columns' names, the others as rows of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    truncated: bool


def read_table(text: str) -> Table:
    """Return a CSV text's rows, as many as fit a result; the delimiter is found out."""
    reader = csv.reader(StringIO(text, newline=""), _dialect(text))
    budget = Budget()
    rows: list[tuple[str, ...]] = []
    try:
        for row in reader:
            if len(rows) > MAX_ROWS or not all(budget.has_room(cell) for cell in row):
                return _table(rows, truncated=True)
            rows.append(tuple(cell.replace("\x00", "�") for cell in row))
    except csv.Error:  # a cell of over 128 KiB: no table that a result could hold
        return _table(rows, truncated=True)
    return _table(rows, truncated=False)


def _table(rows: list[tuple[str, ...]], *, truncated: bool) -> Table:
    return Table(columns=rows[0] if rows else (), rows=tuple(rows[1:]), truncated=truncated)


def _dialect(text: str) -> type[csv.Dialect]:
    try:
        return csv.Sniffer().sniff(text[:_SAMPLE], delimiters=",;\t|")
    except csv.Error:
        return csv.excel

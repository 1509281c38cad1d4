"""Reads CSV."""

import csv
from io import StringIO
from itertools import islice

from tasks.collect.documents import Table
from tasks.collect.limits import Budget, storable

MAX_ROWS = 5000
_DELIMITERS = ",;\t|"
_SAMPLE = 16 * 1024
_LINES_LOOKED_AT = 20


def read_table(text: str) -> Table:
    """Return a CSV text's rows, as many as fit a result; the delimiter is found out."""
    sample = text[:_SAMPLE]
    delimiter = max(_DELIMITERS, key=lambda one: _fits(sample, one))
    is_spaced = f'{delimiter} "' in sample
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=is_spaced)
    budget = Budget()
    rows: list[tuple[str, ...]] = []
    try:
        for row in reader:
            cells = tuple(storable(cell) for cell in row)
            if len(rows) > MAX_ROWS or not all(budget.has_room(cell) for cell in cells):
                return _table(rows, truncated=True)
            rows.append(cells)
    except csv.Error:  # a cell of over 128 KiB: no table that a result could hold
        return _table(rows, truncated=True)
    return _table(rows, truncated=False)


def _table(rows: list[tuple[str, ...]], *, truncated: bool) -> Table:
    return Table(columns=rows[0] if rows else (), rows=tuple(rows[1:]), truncated=truncated)


def _fits(sample: str, delimiter: str) -> tuple[int, int]:
    # csv.Sniffer is not asked: it took 6 s over 16 KB that were made for it, and from a sample without
    # doubled quotes it concludes that there are none.
    lines = csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
    widths = [len(row) for row in islice(lines, _LINES_LOOKED_AT) if row]
    if not widths or widths[0] == 1:
        return 0, 0
    return widths.count(widths[0]), widths[0]

"""Parses CSV."""

import csv
from io import StringIO
from itertools import islice

from tasks.collect.documents import Table
from tasks.collect.limits import Budget, make_storable

MAX_ROWS = 5000
# Of two that fit as well the first is taken: a comma is also found inside of numbers.
_DELIMITERS = "\t;|,"
_SAMPLE = 16 * 1024
_SAMPLE_LINES = 20


def read_table(text: str, media_type: str = "") -> Table:
    """Return the rows of a CSV text that fit a result; the delimiter is detected, unless the type says it."""
    sample = text[:_SAMPLE]
    if media_type == "text/tab-separated-values":
        delimiter = "\t"
    else:
        delimiter = max(_DELIMITERS, key=lambda candidate: _column_fit(sample, candidate))
    is_spaced = f'{delimiter} "' in sample
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=is_spaced)
    budget = Budget()
    rows: list[tuple[str, ...]] = []
    try:
        for row in reader:
            cells = tuple(make_storable(cell) for cell in row)
            if len(rows) > MAX_ROWS or not all(budget.try_spend(cell) for cell in cells):
                return _table(rows, truncated=True)
            rows.append(cells)
    except csv.Error:  # a cell of more than 128 KiB, which a result could hardly hold
        return _table(rows, truncated=True)
    return _table(rows, truncated=False)


def _table(rows: list[tuple[str, ...]], *, truncated: bool) -> Table:
    return Table(columns=rows[0] if rows else (), rows=tuple(rows[1:]), truncated=truncated)


def _column_fit(sample: str, delimiter: str) -> tuple[int, int]:
    # csv.Sniffer is not used: it took 6 s for a hostile sample of 16 KB, and from a sample without doubled
    # quotes it concludes that the text has none.
    rows = csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
    widths = [len(row) for row in islice(rows, _SAMPLE_LINES) if row]
    if not widths or widths[0] == 1:
        return 0, 0
    return widths.count(widths[0]), widths[0]

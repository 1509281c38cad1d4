"""The turns of searches: many at once would take the processor from the callers who hand jobs in."""

from typing import Final

from jobyard.http.few_at_once import FewAtOnce

SEARCHES_AT_ONCE: Final = 2
run_search: Final = FewAtOnce("searches", SEARCHES_AT_ONCE).run

"""How many connections fit into the limit of open files."""

import resource

import pytest
from structlog.testing import capture_logs

from jobyard.http.connections.descriptors import most_connections


@pytest.mark.parametrize(
    ("open_files", "most"),
    [(resource.RLIM_INFINITY, 4096), (65_536, 4096), (4352, 4096), (1024, 768), (300, 150), (64, 32)],
)
def test_the_setting_counts_where_the_system_allows_it(
    monkeypatch: pytest.MonkeyPatch, open_files: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (open_files, open_files))
    with capture_logs() as logs:
        assert most_connections(4096) == most
    assert [line.get("max_connections") for line in logs] == ([] if most == 4096 else [most])

"""Large payloads and results lie in the file store: found again, kept in the row otherwise, and swept up."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from obstore.store import LocalStore
from sqlalchemy import update
from structlog.testing import capture_logs

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.errors import ClaimCheckError
from jobyard.jobs.files.claim_checks import PAYLOAD, ClaimChecks, is_check
from jobyard.jobs.files.object_store import open_store
from jobyard.jobs.job import Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.pruning import prune
from jobyard.settings.retention import RetentionRule
from tests.support.ledger_jobs import accepted, claimed

LIMIT = 1024
NOW = timedelta(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def checks(folder: Path) -> ClaimChecks:
    return ClaimChecks(lambda: LocalStore(prefix=folder, mkdir=True), LIMIT)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ('"' + "x" * (LIMIT - 2) + '"', False),
        ('"' + "x" * (LIMIT - 1) + '"', True),
        ('"' + "ö" * 600 + '"', True),
    ],
    ids=["as long as may be", "a byte longer", "longer in bytes than in characters"],
)
def test_what_is_longer_than_the_limit_lies_in_the_store(
    checks: ClaimChecks, folder: Path, text: str, is_kept: bool
) -> None:
    job_id = new_id()
    stored = checks.check_in(job_id, PAYLOAD, text)
    assert (is_check(stored), kept(folder)) == ((True, [PAYLOAD]) if is_kept else (False, []))
    assert checks.fetch(job_id, stored) == text


def test_what_the_store_refuses_stays_in_the_row(checks: ClaimChecks, folder: Path) -> None:
    job_id, text = new_id(), '"' + "x" * LIMIT + '"'
    folder.mkdir()
    (folder / "checks").write_text("no folder")
    assert checks.check_in(job_id, PAYLOAD, text) == text


def test_where_the_library_of_the_store_is_missing_a_large_text_stays_in_the_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("obstore", "obstore.store"):
        monkeypatch.setitem(sys.modules, module, None)
    checks, text = ClaimChecks(lambda: open_store(folder.as_uri()), LIMIT), '"' + "x" * LIMIT + '"'
    with capture_logs() as logs:
        assert checks.check_in(new_id(), PAYLOAD, text) == text
    assert "pip install 'jobyard[files]'" in logs[0]["reason"]
    with pytest.raises(ClaimCheckError, match=r"pip install 'jobyard\[files\]'") as error:
        checks.fetch(new_id(), "@payload")
    assert not error.value.is_lost


def test_a_file_that_is_gone_is_said_to_be_lost(checks: ClaimChecks, folder: Path) -> None:
    job_id = new_id()
    stored = checks.check_in(job_id, PAYLOAD, '"' + "x" * LIMIT + '"')
    [path] = (path for path in folder.rglob("*") if path.is_file())
    path.unlink()
    with pytest.raises(
        ClaimCheckError, match=rf"payload of job {job_id} is not in the file store.*FILES__URL"
    ) as error:
        checks.fetch(job_id, stored)
    assert error.value.is_lost


def large(checks: ClaimChecks, name: str) -> str:
    """Return a job id with a file of that name, which no row knows of yet."""
    job_id = new_id()
    checks.check_in(job_id, name, '"' + "x" * LIMIT + '"')
    return job_id


def test_what_no_row_names_is_swept_up_and_the_rest_stays(
    own_ledger: Ledger, checks: ClaimChecks, folder: Path
) -> None:
    accepted(own_ledger, id=large(checks, PAYLOAD), payload="@payload")
    job_id, attempt = claimed(own_ledger, id=large(checks, "result-1"))
    own_ledger.settle([Succeeded(job_id, attempt, "@result-1")])
    checks.check_in(job_id, "result-0", '"' + "x" * LIMIT + '"')  # of an attempt that was superseded
    large(checks, "never-accepted")
    assert checks.sweep(own_ledger.database) == 0, "what is young may be about to be named"
    assert checks.sweep(own_ledger.database, older_than=NOW) == 2
    assert kept(folder) == [PAYLOAD, "result-1"]
    assert checks.sweep(own_ledger.database, older_than=NOW) == 0


def test_a_pruned_job_takes_its_files_with_it(own_ledger: Ledger, checks: ClaimChecks, folder: Path) -> None:
    rule, ids = RetentionRule.parse("P1D"), []
    for payload, result in (("{}", "1"), ("@payload", "1"), ("{}", "@result-1")):
        job_id, attempt = claimed(
            own_ledger, id=large(checks, f"of {payload} {result}".replace("@", "")), payload=payload
        )
        own_ledger.settle([Succeeded(job_id, attempt, result)])
        ids.append(job_id)
    with own_ledger.database.writing() as connection:
        connection.execute(update(job).values(finished_at=db_now(plus=timedelta(days=-2))))
        of_slice = prune(connection, rule, [rule], 100)
    assert (of_slice.jobs, sorted(of_slice.with_files)) == (3, sorted(ids[1:]))
    checks.delete(of_slice.with_files)
    assert kept(folder) == ["of {} 1"]


def test_a_store_out_of_reach_is_not_a_file_that_is_lost(checks: ClaimChecks, folder: Path) -> None:
    job_id = new_id()
    stored = checks.check_in(job_id, PAYLOAD, '"' + "x" * LIMIT + '"')
    (folder / "checks").rename(folder / "away")
    (folder / "checks").write_text("no folder")
    with pytest.raises(ClaimCheckError, match=r"out of reach.*JOBYARD_FILES__URL") as error:
        checks.fetch(job_id, stored)
    assert not error.value.is_lost

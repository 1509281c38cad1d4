"""`jobyard celery-check`: how it ends, what it prints, and what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard.cli.main import main
from tests.unit.jobyard.celery_check.code_base import write_files

TASKS = "from celery import shared_task\n\n\n@shared_task(acks_late=True)\ndef add(x, y):\n    return x + y\n"
MOVED = TASKS.replace("celery", "jobyard")


def run(*arguments: object) -> int:
    """Run the command, and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["celery-check", *(str(argument) for argument in arguments)])
    return ended.value.code if isinstance(ended.value.code, int) else 1


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    write_files(tmp_path, {"tasks.py": TASKS})
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "code"), [(TASKS, 0), (MOVED, 0), ("", 0), (f"{TASKS}add.s(1)\n", 1), ("import celery\n)\n", 1)]
)
def test_the_exit_code_says_whether_all_moves(tmp_path: Path, text: str, code: int) -> None:
    assert run(write_files(tmp_path, {"tasks.py": text})) == code
    assert run(tmp_path / "tasks.py") == code


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["/no/such/folder"], "there is no /no/such/folder"),
        ([], "the following arguments are required: PATH"),
        ([".", "--diff", "--json"], "leave one out"),
        ([".", "--force"], "--force belongs to --write"),
        ([".", "--colour"], "unrecognized arguments"),
    ],
)
def test_a_wrong_call_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    assert run(*arguments) == 2
    assert fault in capsys.readouterr().err


def test_the_help_says_what_the_exit_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "Ends with 0 where all of it moves" in " ".join(capsys.readouterr().out.split())


def test_writing_changes_the_imports_once(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repository, "--write") == 0
    assert (repository / "tasks.py").read_text() == MOVED
    assert f"written: {repository / 'tasks.py'}" in capsys.readouterr().err
    # There is nothing more to write, so that the changes that are not committed are no fault.
    assert run(repository, "--write") == 0
    assert (repository / "tasks.py").read_text() == MOVED


def test_writing_to_a_tree_with_changes_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "tasks.py").write_text(f"{TASKS}# more\n")
    assert run(repository, "--write") == 2
    assert "not committed: commit first, or say --force" in capsys.readouterr().err
    assert (repository / "tasks.py").read_text() == f"{TASKS}# more\n"
    assert run(repository, "--write", "--force") == 0
    assert (repository / "tasks.py").read_text() == f"{MOVED}# more\n"


def test_writing_to_a_file_that_git_does_not_know_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(repository, {"more.py": TASKS})
    assert run(repository, "--write") == 2
    assert "more.py is not in git" in capsys.readouterr().err
    assert (repository / "tasks.py").read_text() == TASKS


def test_a_folder_without_git_is_written(tmp_path: Path) -> None:
    assert run(write_files(tmp_path, {"tasks.py": TASKS}), "--write") == 0
    assert (tmp_path / "tasks.py").read_text() == MOVED


def test_a_diff_is_printed_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path, {"tasks.py": TASKS})
    assert run(tmp_path, "--write", "--diff") == 0
    out = capsys.readouterr().out
    assert "-from celery import shared_task\n+from jobyard import shared_task\n" in out
    assert (tmp_path / "tasks.py").read_text() == TASKS


def test_a_diff_can_be_applied(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "tasks.py").write_bytes(TASKS.rstrip().encode())
    run(repository, "--diff")
    patch = capsys.readouterr().out
    subprocess.run(
        ["git", "apply", f"-p{len(repository.parts)}", "-"], cwd=repository, input=patch.encode(), check=True
    )
    assert (repository / "tasks.py").read_bytes() == MOVED.rstrip().encode()


def test_json_is_printed_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(write_files(tmp_path, {"tasks.py": TASKS}), "--json", "--write")
    report = json.loads(capsys.readouterr().out)
    assert report["all_moves"] is True
    assert report["path"] == str(tmp_path)


def test_nothing_that_is_read_is_imported_and_celery_is_not_either(tmp_path: Path) -> None:
    write_files(tmp_path, {"tasks.py": f"{TASKS}raise SystemExit('it was run')\n"})
    code = (
        "import sys\nfrom jobyard.celery_check.check import check\nfrom pathlib import Path\n"
        f"assert check(Path({str(tmp_path)!r})).all_moves\n"
        "print(sorted({'celery', 'kombu', 'sqlalchemy', 'tasks'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_link_to_a_file_elsewhere_is_read_and_not_written(tmp_path: Path) -> None:
    elsewhere = write_files(tmp_path / "elsewhere", {"tasks.py": TASKS}) / "tasks.py"
    (inside := tmp_path / "inside").mkdir()
    (inside / "tasks.py").symlink_to(elsewhere)
    run(inside, "--write")
    assert elsewhere.read_text() == TASKS


def test_a_write_that_fails_leaves_the_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_files(tmp_path, {"tasks.py": TASKS})
    monkeypatch.setattr("os.replace", is_full)
    assert run(tmp_path, "--write") == 2
    assert (tmp_path / "tasks.py").read_text() == TASKS
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.py"]


def test_a_file_in_an_odd_encoding_stops_nothing(tmp_path: Path) -> None:
    odd = write_files(tmp_path, {"odd.py": f"# coding: idna\n{TASKS}", "tasks.py": TASKS})
    run(odd, "--write")
    assert (odd / "odd.py").read_text() == f"# coding: idna\n{TASKS}"
    assert (odd / "tasks.py").read_text() == MOVED

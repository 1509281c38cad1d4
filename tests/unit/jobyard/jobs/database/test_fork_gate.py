"""The ledger and processes that fork."""

from pathlib import Path

from tests.support.processes import YardProcesses


def test_a_child_born_in_the_middle_of_a_transaction_can_write(tmp_path: Path) -> None:
    yard = YardProcesses(tmp_path, {"JOBYARD_LEDGER__BUSY_TIMEOUT": "3"})
    ended = yard.run("tests.support.fork_while_writing")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.strip() == "[('bad_message', 1), ('late_result', 1)]"

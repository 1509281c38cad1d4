"""pyright finds the wrong calls of tests/typing, which mypy reads in `make check`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

TYPING = Path(__file__).parents[1] / "typing"
RULES = {"typeCheckingMode": "standard", "reportUnnecessaryTypeIgnoreComment": "error"}


def test_pyright_finds_every_wrong_call_and_no_other(tmp_path: Path) -> None:
    shutil.copy(TYPING / "arguments.py", tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(RULES))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "."]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert json.loads(ended.stdout)["generalDiagnostics"] == [], ended.stdout

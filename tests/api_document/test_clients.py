"""Clients generated from the document compile, submit, wait, read, list and show errors, all with types."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api_calls import NOBODYS_ID
from tests.support.node_tools import INSTALL_SECONDS, link_node_tools, run_node, run_node_tool

pytestmark = pytest.mark.timeout(120 + INSTALL_SECONDS)

HERE = Path(__file__).parent
# Without the second, what has a default would have to be given.
TYPES = ("--output", "api.d.ts", "--default-non-nullable=false")
STRICT = ("--strict", "--noEmit", "--skipLibCheck", "--target", "esnext", "--module", "esnext")
RESOLUTION = ("--moduleResolution", "bundler")


def expected(field: str) -> dict[str, Any]:
    wrong = [422, field, 404, "urn:jobyard:problem:unknown-job"]
    return {"said": "typed", "status": "succeeded", "found": True, "wrong": wrong}


def output(finished: "subprocess.CompletedProcess[str]") -> str:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_a_client_in_typescript_is_typed(api: httpx.Client, document: Path) -> None:
    folder = document.parent
    link_node_tools(folder)
    output(run_node_tool("openapi-typescript", document.name, *TYPES, folder=folder))
    shutil.copy(HERE / "client.ts", folder)
    output(run_node_tool("tsc", *STRICT, *RESOLUTION, "client.ts", folder=folder))
    (folder / "package.json").write_text('{"type": "module"}')
    shown = output(run_node("client.ts", str(api.base_url).rstrip("/"), NOBODYS_ID, folder=folder))
    assert json.loads(shown) == expected("nonsense")


def test_a_client_in_python_is_typed(api: httpx.Client, document: Path) -> None:
    folder = document.parent
    (folder / "config.yaml").write_text("post_hooks: []\n")
    generate = ("generate", "--path", document.name, "--meta", "none", "--output-path", "generated")
    generated = run("openapi_python_client", *generate, "--config", "config.yaml", folder=folder)
    assert "will not be generated" not in output(generated) + generated.stderr
    assert "Unable to parse" not in generated.stdout + generated.stderr
    shutil.copy(HERE / "client.py", folder / "user.py")
    output(run("mypy", "--strict", "--follow-imports=silent", "user.py", folder=folder))
    finished = run("user", str(api.base_url), NOBODYS_ID, folder=folder)
    assert json.loads(output(finished)) == expected("priority")


def run(module: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

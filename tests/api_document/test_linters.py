"""redocly and spectral find nothing in the OpenAPI document."""

import json
from pathlib import Path

import pytest

from tests.support.node_tools import INSTALL_SECONDS, run_node_tool

pytestmark = pytest.mark.timeout(120 + INSTALL_SECONDS)

# Who answers for an installation, and under which licence, is for its operator to say.
REDOCLY = "extends: [recommended]\nrules: {info-license: off}\n"
SPECTRAL = "extends: ['spectral:oas']\nrules: {info-contact: off}\n"


def test_redocly_finds_nothing(document: Path) -> None:
    (document.parent / "redocly.yaml").write_text(REDOCLY)
    linted = run_node_tool("redocly", "lint", document.name, "--format=stylish", folder=document.parent)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "warning" not in (linted.stdout + linted.stderr).lower(), linted.stdout + linted.stderr


def test_spectral_finds_nothing(document: Path) -> None:
    (document.parent / "spectral.yaml").write_text(SPECTRAL)
    # It decodes a path that it has found, looks it up, and finds nothing: so no path is encoded here.
    content = json.loads(document.read_text())
    content["paths"] = {path.replace("%", "-"): item for path, item in content["paths"].items()}
    document.write_text(json.dumps(content))
    options = ("--ruleset=spectral.yaml", "--fail-severity=hint")
    linted = run_node_tool("spectral", "lint", document.name, *options, folder=document.parent)
    assert linted.returncode == 0, linted.stdout + linted.stderr

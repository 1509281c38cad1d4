"""The house is built as docs/architecture.md says: its rooms, its floors, and no way round in a circle."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = ("jobyard", "api", "tasks", "beat", "config")


def path_of(module: str) -> str:
    return module.replace(".", "/")


def contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def floors_of_linter() -> list[set[str]]:
    """Return the rooms of each floor, the highest first."""
    [layers] = (contract["layers"] for contract in contracts() if contract["name"] == "Imports point one way")
    assert isinstance(layers, list)
    return [{path_of(room.strip()) for room in layer.split("|")} for layer in layers]


def floors_of_page() -> list[set[str]]:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    numbers = [int(number) for number, _ in rows]
    assert numbers == sorted(numbers, reverse=True)
    return [set(re.findall(r"`([\w/]+)`", rooms)) for _, rooms in rows]


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES)


def test_the_rooms_and_floors_of_the_page_are_those_of_the_linter() -> None:
    assert floors_of_page() == floors_of_linter()


def test_every_room_is_on_the_page() -> None:
    rooms = {f"jobyard/{path.parent.name}" for path in (ROOT / "jobyard").glob("*/__init__.py")}
    assert rooms | set(PACKAGES) - {"jobyard"} == set().union(*floors_of_page())


def test_every_arrow_of_the_diagram_points_downwards() -> None:
    floor = {room: number for number, rooms in enumerate(reversed(floors_of_page())) for room in rooms}
    chains = re.findall(r"^    ([\w/]+(?: --> [\w/]+)+)$", PAGE, re.MULTILINE)
    arrows = [arrow for chain in chains for arrow in pairwise(chain.split(" --> "))]
    assert len(arrows) >= 10
    assert [arrow for arrow in arrows if floor[arrow[0]] <= floor[arrow[1]]] == []


@pytest.mark.parametrize("page", ["architecture.md", "libraries.md"])
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = set(re.findall(r"`([\w/]+/[\w/]+\.py)`", (ROOT / "docs" / page).read_text()))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = [module for module in graph().modules if module not in PACKAGES]
    imports = {module: graph().find_modules_directly_imported_by(module) for module in modules}
    # A package's `__init__` hands on names of its modules, and is loaded before each of them.
    faces = {module for module in modules if (ROOT / path_of(module) / "__init__.py").exists()}
    TopologicalSorter({module: imports[module] - faces for module in modules}).prepare()


def test_a_circle_would_be_found() -> None:
    with pytest.raises(ValueError, match="cycle"):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def calls(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node.lineno


def test_nothing_outside_of_jobs_opens_a_transaction_on_the_ledger() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        for name, line in calls(path)
        if name in {"writing", "raw_connection"} and "jobyard/jobs" not in str(path)
    ]
    assert len(files) > 200
    assert found == []

"""A wheel of this checkout, and two environments that have it: one to hand jobs in, one to run them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installed import Environment, Repository, build_wheel, install, made_once
from tests.support.processes import ROOT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with made_once(tmp_path_factory, "wheel") as (folder, is_new):
        if is_new:
            build_wheel(folder)
        [wheel] = folder.glob("*.whl")
        return wheel


@pytest.fixture(scope="session")
def submitter(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment without any extra."""
    with made_once(tmp_path_factory, "submitter") as (folder, is_new):
        return install(folder / "venv", str(wheel)) if is_new else Environment(folder / "venv")


@pytest.fixture(scope="session")
def product(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment for everything that a product on Redis runs, and for its own tests."""
    with made_once(tmp_path_factory, "product") as (folder, is_new):
        if not is_new:
            return Environment(folder / "venv")
        return install(folder / "venv", f"{wheel}[api,worker,redis,postgresql,local]", "pytest")


@pytest.fixture
def shop(product: Environment, tmp_path: Path) -> Iterator[Repository]:
    """The shop of `examples/shop` in a folder of its own, with a ledger and a broker."""
    folder = tmp_path / "shop"
    shutil.copytree(ROOT / "examples" / "shop", folder)
    shop = Repository(product, folder)
    try:
        migrated = shop.run("jobyard", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        shop.start("python", "-m", "jobyard.local.valkey", listening_at=shop.port("VALKEY"))
        yield shop
    finally:
        shop.stop_everything()

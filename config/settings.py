"""The settings of this application's tasks: `JOBYARD_SMTP__...`, `JOBYARD_COLLECT__...` and so on."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from jobyard import SettingsSection, get_section
from jobyard.fetching.settings import FetchSettings
from jobyard.settings.durations import Duration
from jobyard.settings.setting_types import Port

SMTP_SCHEMES: Final = ("smtp", "smtps", "smtp+starttls")


def _check_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_valid = parts.scheme in SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, or a bracket that does not close
        is_valid = False
    if not is_valid:
        raise ValueError(f"must look like smtp://host:port, with one of {', '.join(SMTP_SCHEMES)}")
    return url


def _check_sender(text: str) -> str:
    # Imported here, because most processes check no sender, and the package takes 30 ms of their start.
    from config.mail_address import check_address

    return check_address(text)


class SmtpSettings(SettingsSection):
    """The mail server, and the sender and templates of mails."""

    url: Annotated[SecretStr, AfterValidator(_check_url)] | None = Field(
        None,
        description="`smtp://`, `smtps://` (TLS at once) or `smtp+starttls://`, user:password@host:port; "
        "default: the mail catcher of `make run`.",
    )
    sender: Annotated[str, AfterValidator(_check_sender)] = Field(
        "jobyard@localhost.localdomain",
        description="From address of mails that name no sender: `Name <address>`, or the address alone.",
    )
    timeout: Duration = Field(timedelta(seconds=20), description="Longest wait for the server's answer.")
    templates: Path = Field(Path("templates/mail"), description="Folder of the Jinja2 templates.")
    retry_after: Duration = Field(
        timedelta(minutes=1),
        description="First pause before a mail is tried again that the server cannot take now; "
        "doubles each time, up to an hour.",
    )
    retry_for: Duration = Field(
        timedelta(days=1),
        le=timedelta(days=366),
        description="Longest time for which such a mail is tried again, all pauses together.",
    )


class MailboxSettings(SettingsSection):
    """The mail catcher of `make run`."""

    port: Port = Field(2525, description="Port of the SMTP catcher that `make run` starts.")


class CollectSettings(FetchSettings):
    """Limits of `page.collect`, and of `image.convert` where it fetches a picture."""

    environment_prefix: ClassVar[str] = "JOBYARD_COLLECT__"

    user_agent: str = Field(
        "Jobyard/0.1 (page.collect)", description="The User-Agent header, and the name for robots.txt."
    )
    host_interval: Duration = Field(
        timedelta(seconds=1), description="Least time between two requests to one host."
    )


class ImagesSettings(SettingsSection):
    """Limits of `image.convert`."""

    max_pixels: int = Field(
        50_000_000, ge=1, description="Most pixels a picture may declare, frames included."
    )
    max_outputs: int = Field(10, ge=1, description="Most pictures that one job may make.")


def smtp_url() -> str:
    """Return the mail server's URL from the settings, or the mail catcher's."""
    url = get_section(SmtpSettings).url
    return url.get_secret_value() if url else f"smtp://127.0.0.1:{get_section(MailboxSettings).port}"

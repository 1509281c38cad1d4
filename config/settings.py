"""The settings that only the tasks of this yard need: `JOBYARD_SMTP__...`, `JOBYARD_COLLECT__...` and so
on."""

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
        is_right = parts.scheme in SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket that does not close
        is_right = False
    if not is_right:
        raise ValueError(f"must look like smtp://host:port, with one of {', '.join(SMTP_SCHEMES)}")
    return url


def _check_sender(text: str) -> str:
    # Here, because most processes have no sender to check, and the package costs 30 ms of their start.
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(text, allow_display_name=True, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"no mail address: {error}") from None
    return text


class SmtpSettings(SettingsSection):
    """Which server takes the mails, and what every mail says of us."""

    url: Annotated[SecretStr, AfterValidator(_check_url)] | None = Field(
        None,
        description="`smtp://`, `smtps://` (TLS at once) or `smtp+starttls://`, user:password@host:port; "
        "default: the mail catcher of `make run`.",
    )
    sender: Annotated[str, AfterValidator(_check_sender)] = Field(
        "jobyard@localhost.localdomain", description="From address where a mail names none."
    )
    timeout: Duration = Field(timedelta(seconds=20), description="Longest wait for an answer of the server.")
    templates: Path = Field(Path("templates/mail"), description="Folder of the Jinja2 templates.")


class MailboxSettings(SettingsSection):
    """The mail catcher of `make run`."""

    port: Port = Field(2525, description="Port of the SMTP catcher that `make run` starts.")


class CollectSettings(FetchSettings):
    """What bounds `page.collect` and pictures that are fetched."""

    environment_prefix: ClassVar[str] = "JOBYARD_COLLECT__"

    user_agent: str = Field(
        "Jobyard/0.1 (page.collect)", description="Who asks; robots.txt is read for this name."
    )
    host_interval: Duration = Field(
        timedelta(seconds=1), description="Least time between two requests to one host."
    )


class ImagesSettings(SettingsSection):
    """What bounds `image.convert`."""

    max_pixels: int = Field(
        50_000_000, ge=1, description="Most pixels a picture may declare, frames included."
    )
    max_outputs: int = Field(10, ge=1, description="Most pictures that one job may make.")


def smtp_url() -> str:
    """Return the URL of the mail server: the one that is set, or the mail catcher's."""
    url = get_section(SmtpSettings).url
    return url.get_secret_value() if url else f"smtp://127.0.0.1:{get_section(MailboxSettings).port}"

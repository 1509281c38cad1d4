"""The limits of a fetch, as a section of settings to which an application gives a name and defaults."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, InstanceOf
from pydantic_settings import NoDecode

from jobyard.fetching.allowed_networks import AllowedNetwork
from jobyard.settings.application import SettingsSection
from jobyard.settings.durations import Duration
from jobyard.settings.setting_types import split_commas


def _as_networks(value: object) -> object:
    parts = split_commas(value)
    if not isinstance(parts, tuple):
        return parts
    return tuple(AllowedNetwork.parse(part) if isinstance(part, str) else part for part in parts)


AllowedNetworks = Annotated[tuple[InstanceOf[AllowedNetwork], ...], NoDecode, BeforeValidator(_as_networks)]


class FetchSettings(SettingsSection):
    """Limits of a fetch; error messages name them with `environment_prefix`."""

    environment_prefix: ClassVar[str]

    allow: AllowedNetworks = Field(
        (), description="Comma-separated private networks (or NETWORK:PORT) to fetch from."
    )
    user_agent: str = Field("Jobyard/0.1", description="The User-Agent of the requests.")
    timeout: Duration = Field(
        timedelta(seconds=30), description="Whole time for one page, redirects included."
    )
    max_bytes: int = Field(10 * 1024 * 1024, ge=1, description="Largest page, counted after decompression.")
    max_redirects: int = Field(5, ge=0, description="Most redirects that are followed for one page.")

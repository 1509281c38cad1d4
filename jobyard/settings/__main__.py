"""`jobyard config`: prints every setting with its value and its purpose; secrets are masked."""

import sys
from collections.abc import Iterator

from pydantic import BaseModel, SecretStr

from jobyard.settings import ENV_PREFIX, Settings, SettingsError, load_settings
from jobyard.settings.application import APP_VARIABLE, application_source
from jobyard.settings.key_fingerprint import key_fingerprint
from jobyard.settings.secrets import masked_url


def setting_rows(section: BaseModel, prefix: str = ENV_PREFIX) -> Iterator[tuple[str, str, str]]:
    """Yield (environment variable, value, purpose) for each setting."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from setting_rows(value, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", _text(value), field.description or ""


def default_urls(settings: Settings) -> dict[str, str]:
    """Return the URLs in effect where none is set, by environment variable."""
    # Without the password of the embedded Valkey: to show the settings generates nothing.
    embedded = f"redis://127.0.0.1:{settings.valkey.port}/0"
    return {
        f"{ENV_PREFIX}LEDGER__URL": settings.ledger_url,
        f"{ENV_PREFIX}BROKER__URL": embedded if settings.is_broker_embedded else settings.broker_url,
        f"{ENV_PREFIX}REDIS__URL": embedded if settings.is_redis_embedded else settings.redis_url,
        f"{ENV_PREFIX}FILES__URL": settings.files_url,
    }


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(key_fingerprint(p) if isinstance(p, SecretStr) else str(p) for p in value)
    return masked_url(str(value))


def main() -> None:
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    print(f"{APP_VARIABLE:36} {application_source():36} Which application is served, as module:attribute.")
    defaults = default_urls(settings)
    for variable, value, purpose in setting_rows(settings):
        text = _text(defaults.get(variable, value)) if value == "None" else value
        print(f"{variable:36} {text:36} {purpose}".rstrip())


if __name__ == "__main__":
    main()

"""A mail catcher for one machine: takes every mail on loopback and keeps it as a file, sends none on.

`python -m jobyard.local.mailbox PORT FOLDER`.
"""

import signal
import sys
from pathlib import Path

import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from jobyard.jobs.job import new_id
from jobyard.settings import SettingsError, load_settings
from jobyard.settings.log_setup import set_up_logging

log = structlog.get_logger()

MAX_MAIL_BYTES = 40 * 1024 * 1024


class KeepAsFiles:
    """Writes each mail to `{folder}/{id}.eml`, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        path = self._folder / f"{new_id()}.eml"
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.rename(path)
        log.info("mail kept", file=str(path), to=", ".join(envelope.rcpt_tos), bytes=len(content))
        return f"250 kept as {path.name}"


def mail_catcher(folder: Path, port: int) -> Controller:
    """Return a server that is not started yet."""
    return Controller(
        KeepAsFiles(folder),
        hostname="127.0.0.1",
        port=port,
        data_size_limit=MAX_MAIL_BYTES,
        enable_SMTPUTF8=True,
        ident="Jobyard mail catcher",
    )


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    try:
        set_up_logging(load_settings().log)
    except SettingsError as error:
        sys.exit(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    catcher = mail_catcher(folder, port)
    try:
        catcher.start()
    except OSError as error:
        sys.exit(f"port {port}: {error}; another is set with JOBYARD_MAILBOX__PORT")
    try:
        signal.pause()
    finally:
        catcher.stop()


if __name__ == "__main__":
    main()

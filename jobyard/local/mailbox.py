"""A mail catcher for one machine: accepts every mail on loopback, keeps it as a file, and sends none on.

`python -m jobyard.local.mailbox PORT FOLDER`. Its process loads nothing else of the engine, which would
double its memory.
"""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MAIL_BYTES = 40 * 1024 * 1024


class KeepAsFiles:
    """Writes each mail to `{folder}/{time}-{random}.eml`, completely or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        path = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{token_hex(4)}.eml"
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.rename(path)
        print(f"mail kept: {path}, to {', '.join(envelope.rcpt_tos)}, {len(content)} bytes", flush=True)
        return f"250 kept as {path.name}"


def mail_catcher(folder: Path, port: int) -> Controller:
    """Return the mail server, not yet started."""
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    catcher = mail_catcher(folder, port)
    try:
        catcher.start()
    except OSError as error:
        sys.exit(f"port {port}: {error}; choose another with JOBYARD_MAILBOX__PORT")
    try:
        signal.pause()
    finally:
        catcher.stop()


if __name__ == "__main__":
    main()

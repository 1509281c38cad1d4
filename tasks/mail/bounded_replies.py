"""smtplib's client with a bound on a server's reply: smtplib bounds each line, and not their number."""

import smtplib
from typing import Any, Final

MOST_LINES: Final = 1000


class _BoundedLines:
    """The lines of a server's reply; raises `OSError`, which ends the session, after too many of them."""

    def __init__(self, file: Any) -> None:
        self._file, self.lines = file, 0

    def readline(self, size: int) -> bytes:
        self.lines += 1
        if self.lines > MOST_LINES:
            raise OSError(f"a reply of more than {MOST_LINES} lines")
        line: bytes = self._file.readline(size)
        return line

    def close(self) -> None:
        self._file.close()


class _BoundedReplies:
    """Mixed into a client of smtplib's."""

    sock: Any
    file: Any

    def getreply(self) -> tuple[int, bytes]:
        """Overridden to count the lines of one reply."""
        if self.file is None:
            self.file = _BoundedLines(self.sock.makefile("rb"))
        self.file.lines = 0
        reply: tuple[int, bytes] = super().getreply()  # type: ignore[misc]
        return reply


class BoundedSMTP(_BoundedReplies, smtplib.SMTP):
    """A session that begins in the clear."""


class BoundedSMTPS(_BoundedReplies, smtplib.SMTP_SSL):
    """A session that is encrypted from its beginning."""

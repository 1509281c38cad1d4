"""Who acted on a job, as the ledger keeps it: `key:1a2b3c4d` for an API key, or one of these names."""

from socket import gethostname
from typing import Final

KEEPER: Final = "keeper"
FLOWER: Final = "flower"  # a person at Flower, which has one login for everyone
CONTROL: Final = "control"  # the sender of a control command to workers, whom no worker knows
LOCAL: Final = "local"  # a caller of the API on its own machine, where no keys are set
PYTHON: Final = f"python:{gethostname()}"  # a program that calls the ledger itself

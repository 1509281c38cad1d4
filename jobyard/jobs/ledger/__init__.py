"""The ledger: every change of a job goes through it."""

from jobyard.jobs.ledger.ledger import Ledger, get_ledger

__all__ = ["Ledger", "get_ledger"]

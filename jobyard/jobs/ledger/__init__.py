"""The ledger: every change of a job goes through it."""

"""What a job is, and the ledger that every change of a job goes through."""

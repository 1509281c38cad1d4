"""What many requests have in common: one commit for their jobs, and one question to the ledger for their
ends."""

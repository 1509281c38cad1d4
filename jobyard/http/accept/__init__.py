"""Accepts the jobs of a request and answers once they are in the ledger."""

"""From a request with a job to the answer that it is in the ledger."""

"""The work that contests measure: computing, pictures, the ledger."""

"""One message in a worker, from claim to settle."""

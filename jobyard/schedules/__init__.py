"""How a tick of a schedule becomes an accepted job."""

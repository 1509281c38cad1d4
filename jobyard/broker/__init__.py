"""All that speaks to a broker: publishing, what waits there, and the checks at a start."""

"""What a connection may cost: its head, its time, its silence, and how many there may be."""

"""Everything that talks to a broker: publishing, queue depths, and the checks when a process starts."""

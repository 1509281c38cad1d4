"""Whether what the settings lead to is what they say, asked once when a process starts."""

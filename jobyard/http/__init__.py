"""The HTTP side: what Jobyard looks like from outside."""

"""Jobyard measured beside other job queues, in one run on one machine. Start with README.md here."""

"""The shop's own web service, which hands work to Jobyard."""

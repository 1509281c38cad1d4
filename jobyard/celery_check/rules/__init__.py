"""The rules of the check, by what they read; each says something to the `Look` that it is given."""

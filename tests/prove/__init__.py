"""Proofs that need size or time: `make prove`. Each is a module that says what it proves, and how it went."""

"""What can be set from outside, and what follows from it. Imports nothing of Jobyard's."""

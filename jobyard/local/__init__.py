"""What `jobyard run` starts on one machine: every process of an installation, with an embedded Valkey."""

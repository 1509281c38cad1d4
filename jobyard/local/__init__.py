"""`jobyard run`: starts every process of an installation on one machine, with an embedded Valkey."""

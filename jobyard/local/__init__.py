"""What `make run` adds on one machine: the embedded Valkey, the mail catcher, checks and a welcome."""

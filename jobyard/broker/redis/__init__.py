"""Redis and Valkey, alone or behind Sentinel: client, sending, the worker's transports."""

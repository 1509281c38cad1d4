"""Redis and Valkey, with or without Sentinel: the client, the senders, and the worker's transports."""

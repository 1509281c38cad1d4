"""Amazon SQS: the worker's transport, and messages in batches."""

"""RabbitMQ: sending, and the worker's transport."""

"""RabbitMQ: the sender, and the worker's transport."""

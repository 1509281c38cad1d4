"""What other people's integrations with Celery need to see jobs where they would see messages."""

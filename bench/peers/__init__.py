"""Other job queues, each as its own documentation sets it up. Nothing of Jobyard is imported here.

Each module runs in an environment of its own (`bench/tools/environments.py`), on the Redis of
`BENCH_REDIS_URL`.
"""

"""Where the work goes. The broker is named in the environment."""

task_acks_late = True
task_serializer = "json"
task_default_queue = "orders"
task_routes = {
    "charge-card": {"queue": "payments"},
    "orders.tasks.print_*": {"queue": "printing"},
}

"""What Jobyard runs for the shop."""

from config.settings import ShopSettings
from jobyard import Application, Queue, QueueKind

application = Application(
    tasks=("tasks.reports", "tasks.previews"),
    queues=(
        Queue("reports", "monthly figures: wait for the database"),
        Queue("gpu", "previews: compute, in child processes", QueueKind.PREFORK),
    ),
    settings={"shop": ShopSettings},
    schedules="config.schedules",
)

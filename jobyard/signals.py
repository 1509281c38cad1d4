"""Celery's signals by the names that they have there, about jobs; and `job_accepted`, which is ours.

    from jobyard.signals import job_accepted, task_failure

`job_accepted` is sent after a commit, for each new job, in the process that has accepted it: `sender` is the
task's name, and `job_id`, `queue`, `priority`, `payload` (JSON text) and `parent` are the job's. The API
sends it on a thread of its own, and answers meanwhile. It is not sent for a job in the caller's transaction,
whose commit is the caller's. `docs/signals.md` says when each of Celery's is sent.
"""

from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    after_task_publish,
    beat_embedded_init,
    beat_init,
    before_task_publish,
    celeryd_after_setup,
    celeryd_init,
    heartbeat_sent,
    import_modules,
    setup_logging,
    task_failure,
    task_internal_error,
    task_postrun,
    task_prerun,
    task_received,
    task_rejected,
    task_retry,
    task_revoked,
    task_success,
    task_unknown,
    user_preload_options,
    worker_before_create_process,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from jobyard.broker.accepted_signals import job_accepted

__all__ = [
    "after_setup_logger",
    "after_setup_task_logger",
    "after_task_publish",
    "beat_embedded_init",
    "beat_init",
    "before_task_publish",
    "celeryd_after_setup",
    "celeryd_init",
    "heartbeat_sent",
    "import_modules",
    "job_accepted",
    "setup_logging",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_success",
    "task_unknown",
    "user_preload_options",
    "worker_before_create_process",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
]

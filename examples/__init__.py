"""Examples of tasks, each a module to name in JOBYARD_TASKS__MODULES."""

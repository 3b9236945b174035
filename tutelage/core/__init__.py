"""What every package may import: records, the task file, settings, errors, where a task's files lie, locks, arrays."""

__version__ = "0.1.0"

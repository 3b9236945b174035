"""Which records are held out: nothing trains on them, shows them to people, or ranks by them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from loaders.sources import Source
from tutelage.errors import TaskError
from tutelage.task import Task


def holdout(task: Task, directory: Path) -> Callable[[str], bool]:
    """Whether the task holds out a record, by its id.

    The share is drawn by the hash of the id; a gold file (CSV, JSONL or Parquet, its path relative
    to the task directory) names the ids in a column ``id``.
    """
    if not task.holdout.file:
        return task.holds_out
    source = Source(str(directory / task.holdout.file))
    if "id" not in source.columns():
        raise TaskError(f"{source.name}: holdout.file needs a column 'id' with the ids of the records to hold out")
    return frozenset(row.cell("id").strip() for row in source.rows()).__contains__

"""Where a task's files lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tutelage.core.task import Task, load_task


@dataclass(frozen=True)
class Workspace:
    """A task directory; see the README for what each file in it is."""

    root: Path

    @cached_property
    def task(self) -> Task:
        """The parsed task file, cached."""
        return load_task(self.root)

    @property
    def db(self) -> Path:
        """The records and the append-only ledger of answers (SQLite)."""
        return self.root / "task.db"

    @property
    def gold(self) -> Path:
        """Gold labels, opened by evaluation only."""
        return self.root / "gold.parquet"

    @property
    def rejects(self) -> Path:
        """Rows that could not be used, each with its reason (JSONL)."""
        return self.root / "rejects.jsonl"

    @property
    def pred_probs(self) -> Path:
        """Out-of-sample predicted probabilities, for the ranking."""
        return self.root / "pred_probs.parquet"

    @property
    def snapshots(self) -> Path:
        """Curated data sets, one folder each."""
        return self.root / "snapshots"

    @property
    def students(self) -> Path:
        """Trained students, one folder each."""
        return self.root / "students"

    @property
    def reports(self) -> Path:
        """Evaluations as JSON and PNG, reports for a team lead as HTML."""
        return self.root / "reports"

"""Where a task's files lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tutelage.core.files import close_to_others, let_group_read
from tutelage.core.task import Task, load_task


@dataclass(frozen=True)
class Workspace:
    """A task directory; see the README for what each file in it is."""

    root: Path

    @cached_property
    def task(self) -> Task:
        """The parsed task file, cached; from then on the directory is as closed to others as it says."""
        task = load_task(self.root)
        let_group_read(self.root, allowed=task.group_readable)
        self.close()
        return task

    def close(self) -> None:
        """Close to others what the directory holds: an earlier version, a copy or an editor may have left it open."""
        names = (".env", "gold.parquet", "history.jsonl", "holdout.lock.json", "pred_probs.parquet", "rejects.jsonl")
        databases = (self.db, *(self.db.with_name(f"{self.db.name}-{part}") for part in ("wal", "shm")))
        folders = (self.out_of_sample, self.snapshots, self.students, self.reports)
        close_to_others((*(self.root / name for name in names), *databases, *folders))

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
    def out_of_sample(self) -> Path:
        """What students said of records that they did not see, kept for the next ranking; no backup holds it."""
        return self.root / ".out_of_sample"

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

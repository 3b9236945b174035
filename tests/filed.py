"""A task whose answers come in files only, so that the periodic job needs no Argilla: quick nights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from training_data import fill, make_workspace, records, sentences

from tutelage.project import Project


class Filed:
    """A task with a holdout and gold labels, and a person who answers what is not held out."""

    def __init__(self, root: Path, count: int = 400, **keys: Any) -> None:
        rows = sentences(count, seed=3)
        self.gold = {f"r{number}": label for number, (_, label) in enumerate(rows)}
        self.workspace = make_workspace(root, **{"holdout": {"share": 0.5}, **keys})
        fill(self.workspace, records(rows), self.gold)
        self.project = Project(root)
        self._open = [name for name in self.gold if not self.workspace.task.holds_out(name)]

    @property
    def root(self) -> Path:
        return self.workspace.root

    def answer(self, count: int = 20) -> None:
        """The next records, rightly."""
        ids, self._open = self._open[:count], self._open[count:]
        answers = pd.DataFrame({"id": ids, "label": [self.gold[name] for name in ids]})
        self.project.import_review(answers, annotator="ann")

    def bring(self, name: str, rows: list[str]) -> None:
        """A file of new texts."""
        (self.root / name).write_text("\n".join(["text", *rows]) + "\n", "utf-8")

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Everything in the task directory, with when it was written."""
        found = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}

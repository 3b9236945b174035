"""Where the champion comes from: the task, the prompts, the votes, the snapshot, the training, the holdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tutelage.core.errors import SnapshotError
from tutelage.core.records import Record
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.holdout import read_lock
from tutelage.loaders.teacher.teacher_ledger import UsedPanel
from tutelage.training.registry import Entry, champion_history

_SHOWN = 12
"""Hexadecimal digits of a hash that are shown, where the whole is no name of a file."""


@dataclass(frozen=True, kw_only=True)
class LineageStep:
    """One thing that the next is made of: its kind, its name, its hash, facts, and a long text such as a prompt."""

    kind: str
    name: str
    hash: str = ""
    facts: tuple[str, ...] = ()
    text: str = ""


def trace_lineage(
    workspace: Workspace, records: Sequence[Record], panels: Sequence[UsedPanel], entry: Entry | None
) -> tuple[LineageStep, ...]:
    """From the task's hash and the prompts to the champion, as far as there is something."""
    task = workspace.task
    labels = f"{len(task.label_names)} labels"
    steps = [LineageStep(kind="Task", name=task.name, hash=task.id[:_SHOWN], facts=(labels,))]
    steps += [*_prompts(panels), *_imported(records, panels), *_snapshot(workspace, entry)]
    steps += [*_student(entry), *_holdout(workspace), *_champion(workspace, entry)]
    return tuple(steps)


def _prompts(panels: Sequence[UsedPanel]) -> Iterator[LineageStep]:
    for panel in panels:
        facts = (f"model {panel.model}", *([] if panel.present else ["changed since: its votes no longer count"]))
        name = f"{panel.teacher}, {panel.prompt}"
        yield LineageStep(kind="Prompt", name=name, hash=panel.digest[:_SHOWN], facts=facts, text=panel.filled)


def _imported(records: Sequence[Record], panels: Sequence[UsedPanel]) -> Iterator[LineageStep]:
    """Teachers whose votes were recorded elsewhere: their prompts are unknown."""
    asked = {(panel.teacher, panel.prompt) for panel in panels}
    voters = [vote.voter for record in records for vote in record.votes]
    counts = Counter(voter.teacher for voter in voters if (voter.teacher, voter.prompt) not in asked)
    for teacher, count in counts.items():
        facts = (f"{count:,} votes from a file", "the prompt is not known here")
        yield LineageStep(kind="Imported votes", name=teacher, facts=facts)


def _snapshot(workspace: Workspace, entry: Entry | None) -> Iterator[LineageStep]:
    try:
        found = load_snapshot(workspace.snapshots, entry.manifest.snapshot if entry else None)
    except SnapshotError:
        if entry:
            gone = ("its folder is no longer there",)
            yield LineageStep(kind="Snapshot", name=entry.manifest.snapshot, facts=gone)
        return
    sources = ", ".join(f"{count:,} {source}" for source, count in found.manifest["by_source"].items())
    facts = (f"{found.manifest['records']:,} records", f"labels from: {sources}", _day(found.manifest["created_at"]))
    yield LineageStep(kind="Snapshot", name=found.id, hash=found.manifest["sha256"][:_SHOWN], facts=facts)


def _student(entry: Entry | None) -> Iterator[LineageStep]:
    if entry:
        made = entry.manifest
        model = (f"of {made.model}",) if made.model else ()
        facts = (*model, f"{made.rows:,} training texts", f"seed {made.seed}", _day(made.created_at))
        yield LineageStep(kind="Student", name=entry.id, facts=facts)


def _holdout(workspace: Workspace) -> Iterator[LineageStep]:
    lock = read_lock(workspace.root)
    if lock:
        facts = (f"{len(lock['rows']):,} rows, never trained on", f"locked {_day(lock['locked_at'])}")
        yield LineageStep(kind="Measured on", name="the holdout", facts=facts)


def _champion(workspace: Workspace, entry: Entry | None) -> Iterator[LineageStep]:
    moves = champion_history(workspace.students)
    if entry and moves and moves[-1]["champion"] == entry.id:
        last = moves[-1]
        facts = (f"since {_day(last.get('at', ''))}", *([last["why"]] if last.get("why") else []))
        yield LineageStep(kind="Champion", name=entry.id, facts=facts)


def _day(moment: str) -> str:
    return moment[:10]

"""What a task holds, as pandas frames: records, votes, suspects, responses, curated labels, students."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tutelage.core.errors import TutelageError
from tutelage.core.records import Rank, Record, Response, Shown
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.curate import Curated, curate, is_open, shown_at, with_reason_source
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.consensus import best_reason, suggest
from tutelage.loaders.holdout import held_out
from tutelage.loaders.ledger import QUEUE, Ledger

if TYPE_CHECKING:
    import datasets
    import pandas as pd

_RECORD = ("id", "text", "given", "suggestion", "agreement", "tie", "held_out")
_VOTE = ("id", "teacher", "prompt", "vote", "label", "reason", "answer")
_ANSWER = ("id", "annotator", "status", "label", "reason", "reason_by", "shown")
_RESPONSE = (*_ANSWER, "updated_at", "state", "user_id", "dataset")
_RANKED = ("id", "text", "suggestion", "label_quality", "suspect_rank", "why")
_SUSPECT = (*_RANKED, "agreement", "reasons", "status", "link")


def _frame(rows: Iterator[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


def _records(workspace: Workspace) -> list[Record]:
    with Ledger(workspace.db) as ledger:
        return list(ledger.records(workspace.task))


def records(workspace: Workspace) -> pd.DataFrame:
    """One row a record, in the order of arrival.

    Columns: id, text, given (a label that the data had), suggestion, agreement (0 to 1: the fraction of
    the votes that equal the suggestion), tie, held_out.
    """
    holdout = held_out(workspace)
    return _frame((_record(record, held=record in holdout) for record in _records(workspace)), _RECORD)


def _record(record: Record, *, held: bool) -> dict[str, Any]:
    suggestion = suggest(record)
    about = {"id": record.id, "text": record.text, "given": record.given, "held_out": held}
    if suggestion is None:
        return about | {"tie": False}
    return about | {"suggestion": suggestion.label, "agreement": suggestion.score, "tie": suggestion.tie}


def votes(workspace: Workspace) -> pd.DataFrame:
    """One row a vote that counts.

    Columns: id (of the record), teacher, prompt, vote (its number, from 1), label (missing for an
    abstention), reason, answer (word for word).
    """
    rows = (
        {"id": record.id, **asdict(vote.voter), "label": vote.label, "reason": vote.reason, "answer": vote.raw}
        for record in _records(workspace)
        for vote in record.votes
    )
    return _frame(rows, _VOTE)


def responses(workspace: Workspace) -> pd.DataFrame:
    """One row a response, as last pulled or imported; of all datasets that were ever pulled from, and of files.

    Columns: id (of the record), annotator, status (draft, submitted, discarded), label, reason, reason_by
    (annotator; teacher: the suggested one, accepted with its label; empty), shown (the label that the page
    suggested when it was answered, missing where none was), updated_at, state (present, user-deleted,
    withdrawn), user_id, dataset (its uuid on Argilla, or file).
    """
    with Ledger(workspace.db) as ledger:
        votes = {record.id: record.votes for record in ledger.records(workspace.task)}
        rows = [
            _response(with_reason_source(response, votes.get(response.record_id, ())), dataset, shown)
            for dataset in ledger.response_counts()
            for shown in [ledger.shown(dataset)]
            for response in ledger.responses(dataset)
        ]
    return _frame(iter(rows), _RESPONSE)


def _response(response: Response, dataset: str, shown: Mapping[str, Sequence[Shown]]) -> dict[str, Any]:
    values = asdict(response)
    seen = shown_at(shown.get(response.record_id, ()), response.updated_at)
    return {**values, "id": values.pop("record_id"), "dataset": dataset, "shown": seen and seen.label}


def suspects(workspace: Workspace, most: int | None = None, *, pending: bool = False, server: str = "") -> pd.DataFrame:
    """The ranked records, the most suspect first; ``most`` of them, or all; with ``pending`` without settled ones.

    Columns: id, text, suggestion, label_quality (0 to 1), suspect_rank (1: look first), why (what speaks against
    the suggestion, each in words), agreement, reasons (the best one for each label that was voted, by label), status
    (pending, reviewed, discarded, tied), link (opens the record on Argilla at ``server``; missing where it is not in
    the queue there).
    """
    with Ledger(workspace.db) as ledger:
        ranks, dataset, answers = ledger.ranks(), ledger.current_dataset(QUEUE), counting_answers(ledger)
        dealt = ledger.dealt()
        ranked = [record for record in ledger.records(workspace.task) if record.id in ranks]
    items = sorted(curate(ranked, answers, ranks), key=lambda item: ranks[item.record.id].suspect_rank)
    if pending:
        items = [item for item in items if is_open(item, workspace.task, dealt.get(item.record.id, ()))]
    rows = []
    for item in items[:most]:
        rank = ranks[item.record.id]
        link = record_link(server, dataset, rank) if rank.suspect_rank <= workspace.task.queue else None
        rows.append(_suspect(item, rank, link))
    return _frame(iter(rows), _SUSPECT)


def record_link(server: str, dataset: str | None, rank: Rank) -> str | None:
    """Opens the record of a rank that is in the queue; None where no server or no dataset is known."""
    query = f"metadata=suspect_rank.ge{rank.suspect_rank}.le{rank.suspect_rank}"
    return f"{server}/dataset/{dataset}/annotation-mode?{query}" if server and dataset else None


def _suspect(item: Curated, rank: Rank, link: str | None) -> dict[str, Any]:
    record, suggestion = item.record, item.suggestion
    labels = dict.fromkeys(vote.label for vote in record.votes if vote.label is not None)
    return {
        "id": record.id,
        "text": record.text,
        "suggestion": suggestion.label if suggestion else None,
        "label_quality": rank.label_quality,
        "suspect_rank": rank.suspect_rank,
        "why": [one.words for one in rank.why],
        "agreement": suggestion.score if suggestion else None,
        "reasons": {label: reason for label in labels if (reason := best_reason(record.votes, label))},
        "status": item.status,
        "link": link,
    }


def curated(workspace: Workspace, snapshot: str | None = None) -> pd.DataFrame:
    """The records of a snapshot, the newest without an id, with the labels to train on.

    Columns: those of ``Snapshot.frame``: id, text, label (missing: not to be trained on), source (human,
    given, teacher, student), status, suggestion, agreement, label_quality, suspect_rank, votes, responses.

    Raises
    ------
    SnapshotError
        When there is none.
    """
    return load_snapshot(workspace.snapshots, snapshot).frame()


def curated_dataset(workspace: Workspace, snapshot: str | None = None) -> datasets.Dataset:
    """The same as a ``datasets.Dataset`` of the records that have a label, which becomes a ``ClassLabel``.

    Columns: id, text, label (an integer: the place in the task's order), source.

    Raises
    ------
    SnapshotError
        When there is no snapshot.
    TutelageError
        When it holds a label that the task no longer has.
    """
    import datasets

    frame = curated(workspace, snapshot)
    frame = frame.loc[frame["label"].notna(), ["id", "text", "label", "source"]]
    names = workspace.task.label_names
    unknown = sorted(set(frame["label"]) - set(names))
    if unknown:
        raise TutelageError(f"the snapshot holds {unknown[0]!r}, which is no label of the task; pull a new snapshot")
    text = datasets.Value("string")
    features = {"id": text, "text": text, "label": datasets.ClassLabel(names=list(names)), "source": text}
    columns = {name: frame[name].tolist() for name in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def students(workspace: Workspace) -> pd.DataFrame:
    """One row a student, the newest last.

    Columns: id, kind, model, rows (that it was trained on), snapshot, created_at, champion.
    """
    from tutelage.training.registry import champion_id, list_students

    champion = champion_id(workspace.students)
    names = ("id", "kind", "model", "rows", "snapshot", "created_at")
    rows = (
        {**{name: getattr(entry.manifest, name) for name in names}, "champion": entry.id == champion}
        for entry in list_students(workspace.students)
    )
    return _frame(rows, (*names, "champion"))

"""Takes the last load back, as long as nothing was done with what it added."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.core.errors import LedgerError
from tutelage.core.locks import locked
from tutelage.core.rejects import withdraw_rejects
from tutelage.core.workspace import Workspace
from tutelage.loaders.gold import gold_of, withdraw_gold
from tutelage.loaders.holdout import read_lock
from tutelage.loaders.load import LOCK, snapshots_of
from tutelage.loaders.load_ledger import Load, LoadLedger


@dataclass(frozen=True, kw_only=True)
class UndoneLoad:
    """What was taken back.

    Parameters
    ----------
    source, at
        What the load had read, and when it began (ISO 8601).
    records, votes, given, gold
        Records, votes, given labels of records that stay, and gold labels that it had added.
    rejects
        Its lines in ``rejects.jsonl``.
    """

    source: str
    at: str
    records: int
    votes: int
    given: int
    gold: int
    rejects: int


def undo_load(workspace: Workspace) -> UndoneLoad:
    """Take back what the last load or import added: records, votes, given and gold labels, rejects.

    The records and votes are kept in ``task.db``, where nothing reads them. A load before the last one can be
    undone after it.

    Raises
    ------
    LedgerError
        When there is none, or one is running, or what it added was pushed, answered, annotated, pulled or
        measured since.
    """

    def refuse(holder: str) -> None:
        raise LedgerError(f"{workspace.root}: process {holder} is loading; wait for it, or stop it, then undo it")

    _ = workspace.task  # a directory that is no task is said, and stays as it is
    with locked(workspace.db.with_name(LOCK), on_wait=refuse):
        return _undo_load(workspace)


def _undo_load(workspace: Workspace) -> UndoneLoad:
    with LoadLedger(workspace.db) as ledger:
        load = ledger.last_load()
        if load is None:
            raise LedgerError(f"{workspace.db}: there is no load to undo; earlier versions did not write them down")
        _check_unused(workspace, ledger, load)
        with ledger.withdrawing(load) as counts:
            return UndoneLoad(
                source=load.source,
                at=load.at,
                records=counts["records"],
                votes=counts["answers"],
                given=counts["given"],
                gold=withdraw_gold(workspace.gold, load.number),
                rejects=withdraw_rejects(workspace.rejects, load.source, load.rejects),
            )


def _check_unused(workspace: Workspace, ledger: LoadLedger, load: Load) -> None:
    uses = [f"{count} of its records were {what} since" for what, count in ledger.used_since(load).items()]
    if new := sorted(snapshots_of(workspace) - load.snapshots):
        uses.append(f"snapshot {new[0]} was pulled since")
    measured = (ledger.added_by(load) | gold_of(workspace.gold, load.number)) & read_lock(workspace.root).get(
        "rows", {}
    ).keys()
    if measured:
        uses.append(f"{len(measured)} of its gold labels were measured against since")
    if uses:
        raise LedgerError(
            f"{workspace.db}: the load of {load.source} ({load.at[:16]}) cannot be undone: {'; '.join(uses)}. Put back "
            "a copy of the task directory from before it, or load what is right into a new one (tutelage init)."
        )

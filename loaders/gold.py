"""``gold.parquet``: gold labels by record id. Written here; opened by evaluation and benchmarks only.

A row a label, and the load that brought it; of several rows of a record the last one counts, so that a load
can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage.core.errors import SourceError
from tutelage.core.files import replacing

_Rows = list[tuple[str, str, int]]
"""Record id, gold label, number of the load; 0 where an earlier version wrote the row."""


def add_gold(path: Path, gold: Mapping[str, str], load: int = 0) -> int:
    """Add gold labels; a newer label of the same record replaces the older one. Returns how many changed."""
    if not gold:
        return 0
    rows = _read(path) if path.exists() else []
    now = {record_id: label for record_id, label, _ in rows}
    new = [(record_id, label, load) for record_id, label in gold.items() if now.get(record_id) != label]
    if new or not path.exists():
        _write(path, rows + new)
    return len(new)


def withdraw_gold(path: Path, load: int) -> int:
    """Take back what a load added; returns how many labels that were."""
    rows = _read(path) if path.exists() else []
    left = [row for row in rows if row[2] != load]
    if not left:
        path.unlink(missing_ok=True)
    elif len(left) < len(rows):
        _write(path, left)
    return len(rows) - len(left)


def gold_of(path: Path, load: int) -> set[str]:
    """The ids of the records whose gold label a load added."""
    return {record_id for record_id, _, number in _read(path) if number == load} if path.exists() else set()


def read_gold(path: Path) -> dict[str, str]:
    """Gold labels by record id. For evaluation only: nothing may be pushed, ranked or trained with them."""
    return {record_id: label for record_id, label, _ in _read(path)}


def _read(path: Path) -> _Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        loads = table["load"].to_pylist() if "load" in table.column_names else [0] * table.num_rows
        return list(zip(table["id"].to_pylist(), table["gold"].to_pylist(), loads, strict=True))
    except (pa.ArrowException, OSError, LookupError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SourceError(
            f"{path}: cannot be read: {reason}. Put a copy of it back, or remove it and load the gold labels again."
        ) from None


def _write(path: Path, rows: _Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, labels, loads = ([row[place] for row in rows] for place in range(3))
    with replacing(path) as temporary:
        pq.write_table(pa.table({"id": ids, "gold": labels, "load": loads}), temporary)

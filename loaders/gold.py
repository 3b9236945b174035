"""``gold.parquet``: gold labels by record id. Written here; opened by evaluation and benchmarks only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage.core.errors import SourceError
from tutelage.core.files import replacing


def add_gold(path: Path, gold: Mapping[str, str]) -> None:
    """Add gold labels; a newer label of the same record replaces the older one."""
    if gold:
        _write(path, (read_gold(path) if path.exists() else {}) | dict(gold))


def read_gold(path: Path) -> dict[str, str]:
    """Gold labels by record id. For evaluation only: nothing may be pushed, ranked or trained with them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        return dict(zip(table["id"].to_pylist(), table["gold"].to_pylist(), strict=True))
    except (pa.ArrowException, OSError, LookupError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SourceError(
            f"{path}: cannot be read: {reason}. Put a copy of it back, or remove it and load the gold labels again."
        ) from None


def _write(path: Path, gold: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.table({"id": list(gold), "gold": list(gold.values())}), temporary)

"""``gold.parquet``: gold labels by record id. Written here; opened by evaluation and benchmarks only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage.core.files import replacing


def add_gold(path: Path, gold: Mapping[str, str]) -> None:
    """Add gold labels; a newer label of the same record replaces the older one."""
    if gold:
        _write(path, (read_gold(path) if path.exists() else {}) | dict(gold))


def read_gold(path: Path) -> dict[str, str]:
    """Gold labels by record id. For evaluation only: nothing may be pushed, ranked or trained with them."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return dict(zip(table["id"].to_pylist(), table["gold"].to_pylist(), strict=True))


def _write(path: Path, gold: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.table({"id": list(gold), "gold": list(gold.values())}), temporary)

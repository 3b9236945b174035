"""``pred_probs.parquet``: out-of-sample predicted probabilities, written by a student and read by the ranking.

Column ``id`` and one column of probabilities for each label, named by the label, in the task's
order; the schema's metadata hold that order as JSON under ``labels``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.core.errors import TutelageError
from tutelage.core.files import replacing

if TYPE_CHECKING:
    import pandas as pd

_LABELS = b"labels"


def write_pred_probs(path: Path, ids: Sequence[str], label_names: Sequence[str], probs: Floats) -> None:
    """Write probabilities of shape (N, K), rows as in ``ids``, columns as in ``label_names``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["id", *label_names]
    arrays = [pa.array(list(ids), pa.string()), *(pa.array(column, pa.float64()) for column in probs.T)]
    schema = pa.schema([(name, array.type) for name, array in zip(names, arrays, strict=True)])
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata({_LABELS: json.dumps(list(label_names))}))
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_pred_probs(path: Path, label_names: Sequence[str]) -> pd.DataFrame:
    """Probabilities by record id, columns in the order of ``label_names``.

    Raises
    ------
    TutelageError
        When the file has other labels.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:  # read_table() looks columns up by name
        table = file.read()
    written_for = json.loads((table.schema.metadata or {}).get(_LABELS, b"null"))
    if written_for != list(label_names):
        raise TutelageError(
            f"{path}: has probabilities of {written_for}, but the task's labels are {list(label_names)}"
        )
    ids, *columns = table.columns  # by position: a label may be called "id"
    return pd.DataFrame(np.column_stack(columns), index=ids.to_pylist(), columns=list(label_names))

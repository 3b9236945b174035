"""The recorded votes that benchmarks measure on: 1,811 sentences with Mixtral's answers and experts' labels.

They are not part of this repository: texts from financial_phrasebank (Malo et al. 2013, CC BY-NC-SA 3.0), votes
from https://github.com/MoritzLaurer/synthetic-data-blog (Responsible AI Source Code License). Get from there

    data/df_train_HF_2024-02-06-21-57_mixtral.csv

and name it in the environment variable TUTELAGE_BENCH_DATA, or put it at benchmarks/data/train.csv.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "TUTELAGE_BENCH_DATA"
COLUMNS = {"text", "sc_iter1", "sc_iter2", "sc_iter3", "label_llm", "label_llm_cot_multiple", "label_experts"}


def recorded_votes() -> Path | None:
    """The file, or None after a line that says what is not measured without it and where it can be had."""
    path = Path(os.environ.get(VARIABLE) or Path(__file__).parent / "data" / "train.csv")
    problem = _problem(path)
    if problem:
        print(f"not measured: {path} {problem}; benchmarks/_data.py says where it can be had, {VARIABLE} names it")
        return None
    return path


def _problem(path: Path) -> str:
    if not path.is_file():
        return "is not there"
    with path.open(encoding="utf-8") as file:
        missing = COLUMNS - {name.strip().strip('"') for name in file.readline().split(",")}
    return f"lacks the columns {', '.join(sorted(missing))}" if missing else ""

"""A snapshot for publication: its dataset card, and its rows without annotators' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tutelage.core.files import write_text
from tutelage.core.task import Task
from tutelage.training.hub.model_card import plain, teachers_section
from tutelage.training.manifest import TeacherLicense

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_dataset_card(path: Path, manifest: Mapping[str, Any], task: Task, teachers: Sequence[TeacherLicense]) -> None:
    """Write a README.md with Hugging Face's metadata."""
    head = yaml.safe_dump(_head(manifest, task), allow_unicode=True, sort_keys=False)
    body = [_title(manifest, task), _labels(manifest, task), _columns(), teachers_section(teachers)]
    write_text(path, f"---\n{head}---\n\n" + "\n\n".join(body) + "\n")


def without_names(source: Path, target: Path) -> None:
    """Copy a snapshot's Parquet; annotators become ``annotator-1``, ``annotator-2``; account ids are dropped."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    place = table.schema.get_field_index("responses")
    rows = table["responses"].to_pylist()
    names = dict.fromkeys(response["annotator"] for row in rows for response in row)
    alias = {name: f"annotator-{number}" for number, name in enumerate(names, 1)}
    bare = [[{**response, "annotator": alias[response["annotator"]]} for response in row] for row in rows]
    kept = [field for field in table.schema.field(place).type.value_type if field.name != "user_id"]
    column = pa.array(bare, pa.list_(pa.struct(kept)))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.set_column(place, "responses", column), target)


def _head(manifest: Mapping[str, Any], task: Task) -> dict[str, Any]:
    size = next((name for limit, name in _SIZES if manifest["records"] < limit), "n>1M")
    return {
        "pretty_name": task.name,
        "license": "other",
        "license_name": "see-teachers",
        "task_categories": ["text-classification"],
        "size_categories": [size],
        "tags": ["tutelage", "human-in-the-loop", "llm-labelled"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train.parquet"}]}],
    }


def _title(manifest: Mapping[str, Any], task: Task) -> str:
    sources = ", ".join(f"{count} {plain(name)}" for name, count in manifest["by_source"].items())
    words = f"# {plain(task.name)}\n\nSnapshot `{manifest['id']}` of {manifest['created_at'][:10]}:"
    words += f" {manifest['records']} texts; labels by source: {sources or 'none'}."
    return words + (f"\n\n> {plain(task.question)}" if task.question else "")


def _labels(manifest: Mapping[str, Any], task: Task) -> str:
    counts = manifest["by_label"]
    lines = [
        f"- **{plain(label.name)}** ({counts.get(label.name, 0)})"
        + (f": {plain(label.definition)}" if label.definition else "")
        for label in task.labels
    ]
    guidelines = f"\n\n## Guidelines\n\n{plain(task.guidelines)}" if task.guidelines else ""
    return "## Labels\n\n" + "\n".join(lines) + guidelines


def _columns() -> str:
    return (
        "## Columns\n\n`label` is the training label (empty: undecided), `source` its origin (human, given, teacher,"
        " student); `suggestion` is the machine's label; `votes` are the teachers' answers with their reasons;"
        " `responses` are the annotators' answers, with names replaced. `label_quality` (0 to 1) is low for suspects."
    )

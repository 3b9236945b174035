"""How robust the figure of ``tutelage demo`` is: the demo with other holdouts and other mistakes of its reviewer.

    python benchmarks/demo.py          # ten of them and the shipped one; some minutes

The holdout is drawn by a hash of the ids, so other ids give another holdout. Everything is the demo's own code,
with an embedded Argilla in a directory of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tutelage.commands.terminal.tables import columns  # noqa: E402  # run as a script from a checkout
from tutelage.feedback.server.lifecycle import Server, down, up  # noqa: E402
from tutelage.steps import demo  # noqa: E402

SAMPLE = ROOT / "tutelage" / "sample"
HEAD = ("", "holdout", "right labels", "after", "accuracy", "after", "difference", "95 %", "p", "verdict")


def run(server: Server, folder: Path, seed: int) -> demo.DemoResult:
    """The demo on the sample with ids of its own, but for seed 0."""
    folder.mkdir()
    frame = pd.read_csv(SAMPLE / "sample.csv", keep_default_na=False)
    frame["id"] = [f"{name}/{seed}" if seed else name for name in frame["id"]]
    frame.to_csv(folder / "sample.csv", index=False)
    (folder / "task.yaml").write_text((SAMPLE / "task.yaml").read_text("utf-8"), "utf-8")
    demo.SAMPLE, demo.SEED = folder, seed
    workspace = demo.make_workspace(folder / "demo", demo.dataset_names(server))
    return demo.run_demo(workspace, server, lambda _words: None)


def row(seed: int, result: demo.DemoResult) -> tuple[str, ...]:
    """One line of the table."""
    c, before, after = result.comparison, result.before, result.after
    labels = (f"{before.labels_right:.3f}", f"{after.labels_right:.3f}")
    students = (f"{before.student.accuracy:.3f}", f"{after.student.accuracy:.3f}")
    difference = (f"{c.accuracy_difference:+.3f}", str(c.accuracy_difference_interval), f"{c.p_value:.2g}", c.verdict)
    return (str(seed), str(result.holdout), *labels, *students, *difference)


def main() -> None:
    """Print a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=10)
    seeds = range(arguments.parse_args().seeds + 1)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "argilla"
        server = up(data, port=0)
        try:
            results = [run(server, Path(name) / str(seed), seed) for seed in seeds]
        finally:
            down(data)
    print(columns([HEAD, *(row(seed, result) for seed, result in zip(seeds, results, strict=True))]))
    print(dict(Counter(result.comparison.verdict for result in results)))


if __name__ == "__main__":
    main()

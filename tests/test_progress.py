"""Progress: every step says how far it is; a terminal shows it on one line, a pipe sees nothing of it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from conftest import ROOT
from shop import Shop
from training_data import small_task

from tutelage.commands.terminal.console import progress_line
from tutelage.core.records import Progress
from tutelage.loaders.sources import Source
from tutelage.project import Project

Run = Callable[..., CompletedProcess[str]]
CLEAR = "\r\x1b[K"


def on_terminal(words: Sequence[object], columns: int = 80) -> str:
    """What a command writes to standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=ROOT, env=env, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while block := os.read(ours, 65536):
            said += block
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait(60)
    return said.decode()


def seen_in(step: Callable[[Project], object], root: Path) -> dict[str, list[Progress]]:
    """What a step says of itself, by the name of what it does."""
    said: dict[str, list[Progress]] = {}
    step(Project(root, progress=lambda state: said.setdefault(state.step, []).append(state)))
    return said


def counts_up(said: Sequence[Progress], total: int, unit: str) -> None:
    done = [state.done for state in said]
    assert done == sorted(done)
    assert done[-1] == total
    assert {(state.total, state.unit) for state in said} == {(total, unit)}


# What the steps say


def test_review_says_how_far_it_is(shop: Shop, argilla_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in argilla_env.items():
        monkeypatch.setenv(name, value)
    shop.add("positive", "negative", "neutral", start=3)
    root = shop.workspace.root
    counts_up(seen_in(Project.push, root)["sending to Argilla"], 6, "records")
    shop.vote("r0", "neutral")
    counts_up(seen_in(Project.push, root)["sending to Argilla"], 6, "records")
    ranked = seen_in(Project.rank, root)
    counts_up(ranked["reading answers from Argilla"][1:], 6, "records")
    folds = ranked["linear: out-of-sample probabilities"]
    counts_up(folds, 5, "folds")
    assert list(ranked)[-2:] == ["label quality", "sending to Argilla"]
    pulled = seen_in(Project.pull, root)
    counts_up(pulled["reading answers from Argilla"][1:], 6, "records")
    assert "writing the snapshot" in pulled


def test_training_measuring_and_predicting_say_how_far_they_are(tmp_path: Path) -> None:
    root = small_task(tmp_path).root
    trained = seen_in(lambda project: project.train("linear"), root)
    assert next(iter(trained)) == "looking for near-duplicates"
    (rows,) = [name for name in trained if re.fullmatch(r"training on \d+ rows", name)]
    assert rows
    measured = seen_in(lambda project: project.evaluate(curve=True), root)
    assert {"looking for near-duplicates", "intervals and comparisons"} <= measured.keys()
    predicted = [name for name in measured if name.startswith("predicting with linear-")]
    assert measured[predicted[0]][0].total == 71
    assert len([name for name in measured if name.startswith("learning curve, student ")]) >= 5
    (root / "texts.csv").write_text("text\n" + "".join(f"profit rose by {n}\n" for n in range(40)))
    seen = seen_in(lambda project: project.predict_file(root / "texts.csv", root / "out.csv"), root)
    counts_up(seen["predicting"], 40, "rows")


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", b"text\na\nb\n", 2),
        ("a.csv", b"text\na\nb", 2),
        ("a.csv", b"text\n", 0),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b"}', 2),
    ],
)
def test_rows_of_a_text_file_are_counted(tmp_path: Path, name: str, content: bytes, rows: int) -> None:
    (tmp_path / name).write_bytes(content)
    assert Source(str(tmp_path / name)).row_count() == rows


def test_rows_of_a_large_file_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("text\na\nb\n")
    monkeypatch.setattr("tutelage.loaders.readers._COUNTED", 8)
    assert Source(str(tmp_path / "a.csv")).row_count() is None


# The line


@pytest.mark.parametrize(
    ("state", "seconds", "line"),
    [
        (("thinking",), 0.5, "thinking"),
        (("thinking",), 61, "thinking, 1:01"),
        (("loading", 10, None, "rows"), 5, "loading: 10 rows, 0:05"),
        (("loading", 10, 40, "rows"), 0.5, "loading: 10 of 40 rows"),
        (("loading", 10, 40, "rows"), 30, "loading: 10 of 40 rows, 1:30 left"),
        (("loading", 0, 40, "rows"), 30, "loading, 0:30"),
        (("loading", 41, 40, "rows"), 30, "loading: 41 of 40 rows, 0:30"),
    ],
)
def test_the_line_says_what_is_left(state: tuple[str, int, int | None, str], seconds: float, line: str) -> None:
    assert progress_line(*state, seconds=seconds) == line


def test_a_terminal_sees_how_far_a_command_is_and_a_pipe_does_not(tmp_path: Path, tutelage: Run) -> None:
    root = small_task(tmp_path).root
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "".join(f"text {n}\n" for n in range(3000)))
    words = ["load", rows, "--task", root]
    said = on_terminal(["-m", "tutelage", *words])
    assert f"{CLEAR}loading: 1000 of 3000 rows" in said
    *_, last = said.split(CLEAR)
    assert last.startswith("next: tutelage ")
    piped = tutelage(*words).stderr
    assert piped.startswith("next: tutelage ")
    assert not set(piped) & {"\r", "\x1b"}


def test_what_is_left_shrinks_while_nothing_is_counted() -> None:
    def at(seconds: float) -> str:
        return progress_line("predicting", 10, 40, "rows", seconds=seconds, counted=10)

    assert at(10).endswith("rows, 0:30 left")
    assert at(25).endswith("rows, 0:15 left")
    assert at(50).endswith("rows, 0:50"), "it takes longer than it should: how long it has taken"


SCRIPT = """
import sys, time
from pathlib import Path
from tutelage.commands.terminal import console
from tutelage.core.records import Progress
console.TICK = 0.02
line = console.Console(Path("."), as_json=False)
"""


def run_script(tmp_path: Path, body: str, columns: int = 80) -> str:
    (tmp_path / "script.py").write_text(SCRIPT + body)
    return on_terminal([tmp_path / "script.py"], columns)


def test_a_command_that_says_nothing_shows_that_it_is_alive(tmp_path: Path) -> None:
    said = run_script(tmp_path, "with line.at_work('thinking hard'):\n    time.sleep(1.5)\n")
    assert said.count(f"{CLEAR}thinking hard") >= 3
    assert "thinking hard, 0:01" in said
    assert said.endswith(CLEAR)


def test_other_words_and_errors_have_a_line_of_their_own(tmp_path: Path) -> None:
    body = """
with line.at_work():
    line.progress(Progress("counting", 1, 9, "sheep"))
    line.say("by the way")
    line.progress(Progress("counting", 2, 9, "sheep"))
    sys.exit("tutelage: it failed")
"""
    said = run_script(tmp_path, body)
    assert f"counting: 1 of 9 sheep{CLEAR}by the way\r\n" in said
    assert said.endswith(f"{CLEAR}tutelage: it failed\r\n")


def test_a_figure_in_the_name_of_a_step_does_not_start_the_clock_anew(tmp_path: Path) -> None:
    body = """
with line.at_work():
    for step in range(1, 5):
        line.progress(Progress(f"training, epoch {step / 10}", step, 8, "steps"))
        time.sleep(0.6)
"""
    assert re.search(r"training, epoch 0.4: 4 of 8 steps, 0:0[1-9] left", run_script(tmp_path, body))


def test_the_line_never_wraps(tmp_path: Path) -> None:
    said = run_script(tmp_path, "with line.at_work('long ' * 40):\n    time.sleep(0.2)\n", columns=40)
    shown = [part for part in said.split(CLEAR) if part]
    assert shown
    assert max(map(len, shown)) == 39


def test_a_command_that_is_done_is_silent(tmp_path: Path) -> None:
    """As serve-student is while it answers."""
    body = """
with line.at_work():
    line.progress(Progress("counting", 1, 9, "sheep"))
    line.result({}, "ready")
    time.sleep(0.3)
    line.progress(Progress("late"))
"""
    said = run_script(tmp_path, body)
    assert said.endswith(f"counting: 1 of 9 sheep{CLEAR}")
    assert "late" not in said

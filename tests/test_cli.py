"""The command line: exit statuses, one JSON object, words where they belong."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop import Shop
from training_data import small_task

from tutelage.commands.cli import COMMANDS
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.training.registry import find_student, promote_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]
ROWS = [
    {"text": "good text", "vote": "positive", "reason": "it is good", "gold": "GOLDEN"},
    {"text": "bad text", "vote": "no idea", "reason": "", "gold": "GOLDEN"},
    {"text": "", "vote": "negative", "reason": "", "gold": "GOLDEN"},
]


def only_object(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object that is all of standard output."""
    assert run.stdout.endswith("}\n")
    found = json.loads(run.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def task(make_task: Callable[..., Workspace], write_csv: Callable[..., Path]) -> Workspace:
    workspace = make_task()
    write_csv(ROWS).rename(workspace.root / "rows.csv")
    return workspace


# Exit 0


def test_help_lists_every_command_and_is_quick(tutelage: Run) -> None:
    tutelage("--help")  # compiled now
    took = []
    for _ in range(5):
        start = time.process_time(), os.times().children_user + os.times().children_system
        run = tutelage("--help")
        took.append(os.times().children_user + os.times().children_system - start[1])
    assert min(took) < 0.3
    assert all(f"  {name} " in run.stdout for name in COMMANDS)
    assert run.stderr == ""


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(tutelage: Run, name: str) -> None:
    assert f"Usage: tutelage {name}" in tutelage(name, "--help").stdout


def test_version(tutelage: Run) -> None:
    assert tutelage("--version").stdout.startswith("tutelage, version ")


@pytest.mark.parametrize("command", [["load"], ["import", "--vote", "vote:reason"]])
def test_json_is_one_object_on_standard_output(tutelage: Run, task: Workspace, command: list[str]) -> None:
    name, *options = command
    run = tutelage(
        name, task.root / "rows.csv", "--text", "text", *options, "--gold", "gold", "--task", task.root, "--json"
    )
    found = only_object(run)
    assert (found["rows"], found["new"], found["known"], found["rejected"]) == (3, 2, 0, 1)
    assert (found["answers"], found["abstentions"]) == ((2, 1) if options else (0, 0))
    assert "GOLDEN" not in run.stdout + run.stderr
    assert run.stderr == ""


@pytest.mark.parametrize("words", [["load"], ["import"], ["import-review", "--annotator", "ann"]])
def test_a_file_without_one_usable_row_is_a_failure(
    tutelage: Run, task: Workspace, write_csv: Callable[..., Path], words: list[str]
) -> None:
    bad = write_csv([{"id": "unknown", "text": "", "label": "none of them"}])
    name, *options = words
    run = tutelage(name, bad, *options, "--task", task.root, "--json", ok=False)
    assert (run.returncode, only_object(run)["rejected"]) == (1, 1)


def test_the_loop_in_json(tutelage: Run, task: Workspace, argilla_env: dict[str, str]) -> None:
    at = ["--task", task.root, "--json"]
    tutelage("import", task.root / "rows.csv", "--text", "text", "--vote", "vote", *at)
    pushed = only_object(tutelage("push", *at, env=argilla_env))
    assert (pushed["sent"], pushed["unchanged"], pushed["created"]) == (2, 0, True)
    assert pushed["link"].endswith("sort=metadata.suspect_rank.asc~metadata.label_quality.asc")
    assert only_object(tutelage("push", *at, env=argilla_env))["sent"] == 0
    ranked = only_object(tutelage("rank", *at, "--out", task.root / "ranks.csv", env=argilla_env))
    assert (ranked["ranked"], ranked["metadata_only"], ranked["link"]) == (2, 2, pushed["link"])
    order = [line.split(",")[1] for line in (task.root / "ranks.csv").read_text().splitlines()]
    assert order == ["text", "bad text", "good text"], "the record without a suggestion first"
    pulled = only_object(tutelage("pull", *at, env=argilla_env))
    assert (pulled["records"], pulled["new"], pulled["by_source"]) == (2, True, {"teacher": 1})
    assert only_object(tutelage("pull", *at, env=argilla_env))["snapshot"] == pulled["snapshot"]


def test_words_without_json(tutelage: Run, task: Workspace) -> None:
    run = tutelage("import", task.root / "rows.csv", "--text", "text", "--vote", "vote", "--task", task.root)
    assert "3 rows: 2 new records, 0 known, 1 rejected" in run.stdout
    assert "rejects.jsonl" in run.stdout
    assert run.stderr.startswith("next: tutelage ")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_task_of_very_few_records_can_be_ranked(tutelage: Run, task: Workspace, number: int) -> None:
    (task.root / "few.csv").write_text("text,vote\n" + "".join(f"text {n},positive\n" for n in range(number)))
    tutelage("import", task.root / "few.csv", "--text", "text", "--vote", "vote", "--task", task.root)
    ranked = only_object(tutelage("rank", "--no-push", "--json", "--task", task.root))
    assert ranked["ranked"] == number


# Exit 1


def one_message(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("tutelage: ")
    assert "Traceback" not in run.stderr
    return run.stderr


def test_an_expected_failure_is_one_message(tutelage: Run, task: Workspace, tmp_path: Path) -> None:
    def failed(*words: object, env: dict[str, str] | None = None) -> str:
        return one_message(tutelage(*words, env=env, ok=False))

    rows, at = task.root / "rows.csv", ["--task", task.root]
    assert "tutelage init" in failed("load", rows, "--task", tmp_path)
    assert "no such file" in failed("load", task.root / "none.csv", *at)
    said = failed("load", rows, "--text", "body", *at)
    columns = "text, vote, reason, gold"
    assert f"no column 'body'; its columns: {columns}. Name the one with the texts with --text.\n" in said
    said = failed("import", rows, "--text", "text", "--given", "none", *at)
    assert said.endswith(f"no column 'none'; its columns: {columns}\n")
    assert "bring some with tutelage load" in failed("rank", "--no-push", *at)
    (task.root / "latin.csv").write_bytes("text\nä\nö\nü\n".encode("cp1252"))
    assert "--encoding cp1252" in failed("load", task.root / "latin.csv", *at)
    away = {"ARGILLA_API_URL": "http://127.0.0.1:9", "ARGILLA_API_KEY": ""}
    assert "set both" in failed("push", *at, env=away)
    assert "ARGILLA_API_URL is 'nowhere'" in failed(
        "push", *at, env=away | {"ARGILLA_API_URL": "nowhere", "ARGILLA_API_KEY": "k"}
    )
    (task.root / "task.db").write_bytes(b"no database, much longer than a header" * 100)
    assert "task.db: cannot be opened" in failed("load", rows, *at)
    (task.root / "task.yaml").write_text("name: n\nlabels: [a]\nfoo: 1\n")
    said = failed("push", *at)
    assert "task.yaml:2: labels" in said
    assert "task.yaml:3: foo: unknown key" in said


def test_no_argilla_says_how_to_start_one(tutelage: Run, task: Workspace, tmp_path: Path) -> None:
    run = tutelage("push", "--task", task.root, env={"XDG_DATA_HOME": str(tmp_path)}, ok=False)
    assert "start one with: tutelage up" in one_message(run)


def test_a_wrong_key_is_one_message(tutelage: Run, task: Workspace, argilla_env: dict[str, str]) -> None:
    run = tutelage("pull", "--task", task.root, env=argilla_env | {"ARGILLA_API_KEY": "wrong-key"}, ok=False)
    said = one_message(run)
    assert "refused the API key" in said
    assert "wrong-key" not in said


def test_pull_before_push_is_one_message(tutelage: Run, task: Workspace, argilla_env: dict[str, str]) -> None:
    assert "make it with: tutelage push" in one_message(
        tutelage("pull", "--task", task.root, env=argilla_env, ok=False)
    )


# Exit 2


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["load"],
        ["push", "--colour"],
        ["import"],
        ["rank", "--seed", "x"],
        ["init", "d", "--label", "one"],
    ],
)
def test_wrong_usage(tutelage: Run, words: list[str], tmp_path: Path) -> None:
    run = tutelage(*words, ok=False)
    assert run.returncode == 2
    assert run.stdout == ""
    assert "Usage: " in run.stderr or "Error: " in run.stderr
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_ranks_are_not_written_as_what_they_are_not(tutelage: Run, task: Workspace) -> None:
    run = tutelage("rank", "--no-push", "--out", task.root / "ranks.xlsx", "--task", task.root, ok=False)
    assert run.returncode == 2
    assert "ranks.xlsx: ends in neither .csv nor .parquet" in run.stderr


# Exit 130


def test_interrupted_says_that_one_can_go_on(tutelage: Run, task: Workspace) -> None:
    large = task.root / "large.csv"
    large.write_text("text\n" + "".join(f"text {n}\n" for n in range(300_000)))
    words = ["load", str(large), "--task", str(task.root)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tutelage", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (task.root / "task.db").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said[0] == ""
    assert said[1].strip() == "tutelage: interrupted; what was done is kept, run it again to go on"
    small = task.root / "small.csv"
    small.write_text("text\n" + "".join(f"text {n}\n" for n in range(100)))
    found = only_object(tutelage("load", small, "--task", task.root, "--json"))
    assert found["new"] + found["known"] == 100


# init


def test_init_then_load(tutelage: Run, tmp_path: Path) -> None:
    tutelage("init", tmp_path / "new", "--labels", "a,b", "--label", "so, so")
    (tmp_path / "texts.jsonl").write_text('{"text": "x"}\n')
    assert only_object(tutelage("load", tmp_path / "texts.jsonl", "--task", tmp_path / "new", "--json"))["new"] == 1
    assert "is there already" in one_message(tutelage("init", tmp_path / "new", "--labels", "a,b", ok=False))


# Standard output and files that cannot be written


def test_a_full_disk_is_one_line(task: Workspace) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "tutelage", "status", "--task", str(task.root)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr.splitlines()[0].startswith("tutelage: No space left on device")
    assert "Traceback" not in run.stderr


def test_status_tells_students_apart(tmp_path: Path, tutelage: Run) -> None:
    workspace = small_task(tmp_path)
    train(workspace, parse_student("linear"))
    entry = find_student(workspace.students)
    promote_student(workspace.students, entry.id)
    said = tutelage("status", "--task", str(workspace.root)).stdout
    again = tutelage("train", "--student", "linear", "--epochs", "3", "--task", str(workspace.root))
    assert "without effect on this student: --epochs" in again.stderr
    rows = entry.manifest.rows
    assert f"* {entry.id}, {rows} rows of snapshot {entry.manifest.snapshot}, 20" in said
    found = only_object(tutelage("status", "--json", "--task", str(workspace.root)))
    assert [(row["id"], row["rows"]) for row in found["students"]] == [(entry.id, rows)]


def test_a_password_in_the_address_is_sent_and_neither_kept_nor_shown(
    shop: Shop, argilla_env: dict[str, str], tutelage: Run
) -> None:
    address = argilla_env["ARGILLA_API_URL"].replace("http://", "http://bob:s3cr%2Fet@")
    env = argilla_env | {"ARGILLA_API_URL": address}
    root = shop.workspace.root
    runs = [tutelage(step, "--task", root, "--json", env=env) for step in ("push", "rank", "pull")]
    runs.append(tutelage("push", "--task", root, env=env | {"ARGILLA_API_KEY": "wrong"}, ok=False))
    away = env | {"ARGILLA_API_URL": "ftp://bob:s3cr%2Fet@127.0.0.1"}
    runs.append(tutelage("push", "--task", root, env=away, ok=False))
    assert [run.returncode for run in runs] == [0, 0, 0, 1, 1]
    assert not [run for run in runs if "s3cr" in run.stdout + run.stderr]
    assert not [path for path in root.rglob("*") if path.is_file() and b"s3cr" in path.read_bytes()]
    with ArgillaClient(address, argilla_env["ARGILLA_API_KEY"]) as argilla:
        request = httpx.Request("GET", argilla.remote.url)
        assert argilla._http.auth is not None
        sent = next(argilla._http.auth.auth_flow(request)).headers["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"bob:s3cr/et"

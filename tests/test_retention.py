"""What ``retrain.keep`` deletes, and what it never does."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filed import Filed
from training_data import freeze, manifest, records, sentences, small_task

from tutelage.core.errors import StudentError
from tutelage.core.locks import in_use
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.training.registry import champion_id, list_students, promote_student, rollback_champion
from tutelage.training.registry import write_student as write
from tutelage.training.retention import clear, expendable


def student(workspace: Workspace, number: int) -> str:
    """A student with a snapshot and a report of its own; no model, which nothing here loads."""
    snapshot = freeze(workspace, records(sentences(5, seed=number)))
    at, name = f"2026-01-{number:02d}T00:00:00", f"linear-{number}"
    about = json.loads((snapshot.path / "manifest.json").read_text()) | {"created_at": at}
    (snapshot.path / "manifest.json").write_text(json.dumps(about))
    write(workspace.students, name, lambda _: manifest(id=name, snapshot=snapshot.id, created_at=at))
    workspace.reports.mkdir(exist_ok=True)
    report = workspace.reports / f"evaluate-{name}-abc.json"
    report.write_text(json.dumps({"at": at}))
    report.with_suffix(".png").write_bytes(b"")
    return name


@pytest.fixture
def task(tmp_path: Path) -> Workspace:
    """Five students, each of its own snapshot; the second was champion, and the third is."""
    workspace = small_task(tmp_path / "task", 20)
    names = [student(workspace, number) for number in range(1, 6)]
    for name in names[:3]:
        promote_student(workspace.students, name)
    return workspace


def test_the_newest_and_the_champions_lineage_stay(task: Workspace) -> None:
    gone = clear(task, expendable(task, 1))
    assert [entry.id for entry in list_students(task.students)] == ["linear-2", "linear-3", "linear-5"]
    for entry in list_students(task.students):
        assert load_snapshot(task.snapshots, entry.manifest.snapshot)
    assert {path.name for path in task.reports.iterdir()} == {
        f"evaluate-linear-{number}-abc.{kind}" for number in (2, 3, 5) for kind in ("json", "png")
    }
    assert sum(name.startswith("students/") for name in gone) == 2
    assert rollback_champion(task.students).id == "linear-2"
    with pytest.raises(StudentError, match="linear-1"):
        rollback_champion(task.students)


def test_the_newest_pages_stay(task: Workspace) -> None:
    for number in range(1, 4):
        (task.reports / f"report-2026010{number}T030000Z.html").write_text("")
    gone = [name for name in clear(task, expendable(task, 2)) if name.endswith(".html")]
    assert gone == ["reports/report-20260101T030000Z.html"]
    assert len([*task.reports.glob("*.html")]) == 2


def test_the_latest_snapshot_and_those_needed_stay(task: Workspace) -> None:
    latest = load_snapshot(task.snapshots).id
    first = next(entry for entry in list_students(task.students) if entry.id == "linear-1").manifest.snapshot
    gone = expendable(task, 1, needed=[first])
    assert f"snapshots/{first}" not in gone
    assert f"snapshots/{first}" in expendable(task, 1)
    assert f"snapshots/{latest}" not in gone


def test_where_all_is_kept_nothing_goes(task: Workspace) -> None:
    assert expendable(task, 6) == []


def test_what_a_run_would_add_counts(task: Workspace) -> None:
    assert set(expendable(task, 2, coming=(1, 1))) == set(expendable(task, 1)) - {
        name for name in expendable(task, 1) if name.startswith("reports/")
    } | {name for name in expendable(task, 2) if name.startswith("reports/")}


def test_what_another_process_uses_stays(task: Workspace) -> None:
    with in_use(task.students / "linear-1" / "student.json"):
        gone = clear(task, expendable(task, 1))
    assert "students/linear-4" in gone
    assert "students/linear-1" not in gone
    assert "students/linear-1" in clear(task, expendable(task, 1))


def test_of_a_student_that_lies_elsewhere_the_link_goes(task: Workspace, tmp_path: Path) -> None:
    link, away = task.students / "linear-1", tmp_path / "elsewhere"
    link.rename(away)
    link.symlink_to(away)
    assert "students/linear-1" in clear(task, expendable(task, 1))
    assert not [path.name for path in task.students.iterdir() if path.is_symlink()]
    assert (away / "student.json").exists()


def test_without_a_readable_student_nothing_goes(task: Workspace) -> None:
    (task.students / "linear-4" / "student.json").write_text("{")
    with pytest.raises(StudentError, match="linear-4"):
        expendable(task, 1)


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_it_deletes_all_that_stays_is_whole(task: Workspace, seed: int) -> None:
    draw, stays = random.Random(seed), expendable(task, 1)
    code = (
        "import sys, time; from pathlib import Path; from tutelage.core.workspace import Workspace\n"
        "from tutelage.training.retention import clear, expendable\n"
        "task = Workspace(Path(sys.argv[1])); names = expendable(task, 1); print('ready', flush=True)\n"
        "sys.stdin.read(1); clear(task, names)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(task.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdin
    process.stdout.readline()
    process.stdin.write(b"x")
    process.stdin.flush()
    time.sleep(draw.uniform(0, 0.004))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for entry in list_students(task.students):
        assert load_snapshot(task.snapshots, entry.manifest.snapshot)
    clear(task, expendable(task, 1))
    assert not any((task.root / name).exists() for name in stays)
    assert not list(task.root.glob("*/.deleting-*"))
    assert champion_id(task.students) == "linear-3"


def test_nights_with_keep_keep_what_the_next_night_needs(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", retrain={"keep": 1})
    removed = list[str]()
    for _ in range(4):
        task.answer(25)
        done = task.project.retrain()
        assert (done.outcome in {"promoted", "kept"}, done.problems) == (True, []), done.message
        assert done.new_answers == 25
        removed += done.removed
    assert removed
    assert task.project.retrain().outcome == "nothing_new"
    assert task.workspace.gold.exists()
    assert task.project.evaluate().evaluation.rows

"""What a task holds is its owner's alone, whatever the umask, unless its task file lets the group read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from shop import Shop

from tutelage.core.files import new_folder, replacing
from tutelage.core.workspace import Workspace
from tutelage.loaders.ledger import Ledger
from tutelage.project import Project
from tutelage.steps.backup import backup, restore

PUBLIC = {"task.yaml", ".env.example", ".gitignore"}
"""They hold nothing that was loaded or answered, and are versioned with other people's files."""


@pytest.fixture(params=[0o000, 0o022], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def open_to_others(root: Path, beyond: int = 0o077) -> set[str]:
    """What is in a directory that others than its owner may read or write."""
    found = [path for path in root.rglob("*") if not path.is_symlink()]
    assert found
    return {p.relative_to(root).as_posix() for p in found if stat.S_IMODE(p.stat().st_mode) & beyond} - PUBLIC


def whole_loop(shop: Shop, root: Path) -> Project:
    """Every kind of file that the steps write."""
    project = Project.init(root, ["good", "bad"], question="Is it?", guidelines="Say so.", holdout=0.3)
    (root / ".env").write_text(f"ARGILLA_API_URL={shop.server.url}\nARGILLA_API_KEY={shop.server.api_key}\n", "utf-8")
    with (root / "task.yaml").open("a", encoding="utf-8") as file:
        file.write("retrain: {min_new: 1}\nsources: [{file: 'incoming/*.csv', id: id}]\n")
    rows = [f"{label}{n},{label} {n},{label},{label}" for n in range(40) for label in ("good", "bad")]
    texts = root.parent / "texts.csv"
    texts.write_text("\n".join(["id,text,vote,gold", *rows, "good0,another text,good,good"]), "utf-8")
    project = Project(root)
    project.import_votes(texts, text="text", id="id", votes=["vote"], gold="gold")
    project.push()
    project.rank()
    return project


@pytest.mark.usefixtures("umask")
def test_nothing_that_the_loop_writes_is_open_to_others(shop: Shop, tmp_path: Path) -> None:
    root = tmp_path / f"task-{uuid4().hex[:8]}"
    project = whole_loop(shop, root)
    project.pull()
    trained = project.train("linear")
    project.promote(trained.id)
    project.evaluate()
    project.retrain()
    project.export(root / "all.parquet")
    project.export(root / "sheets" / "review.xlsx", format="review")
    project.export(root / "studio.json", format="label-studio")
    project.backup(root / "copy.tar.gz")
    assert open_to_others(root) == set()
    there = {path.name for path in root.rglob("*")}
    written = {"task.db", "gold.parquet", "pred_probs.parquet", "history.jsonl", "holdout.lock.json", "rejects.jsonl"}
    assert written <= there
    assert {"manifest.json", "student.json", "champion", "reports", "all.parquet", "review.xlsx", ".env"} <= there


@pytest.mark.usefixtures("umask")
def test_not_for_a_moment(make_task: Callable[..., Workspace]) -> None:
    root = make_task().root
    with Ledger(root / "task.db") as ledger:
        ledger.use_dataset("one", "queue")
        beside = {path.name for path in root.glob("task.db*")}
        assert beside == {"task.db", "task.db-wal", "task.db-shm"}
        with (
            replacing(root / "gold.parquet"),
            new_folder(root / "snapshots" / "one", "last") as folder,
        ):
            (folder / "last").touch()
            assert open_to_others(root) == {f"snapshots/{folder.name}/last"}, "in a folder that is closed"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert open_to_others(root) == set()


def opened(root: Path) -> None:
    """As an earlier version left it: open to all who may list the directory."""
    for path in (root, *root.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


@pytest.fixture
def earlier(make_task: Callable[..., Workspace]) -> Path:
    root = make_task().root
    (root / ".env").write_text("ARGILLA_API_KEY=x\n")
    for name in ("task.db", "task.db-wal", "gold.parquet", "history.jsonl", "rejects.jsonl", "holdout.lock.json"):
        (root / name).touch()
    for name in ("snapshots/one", "students/one", "reports"):
        (root / name).mkdir(parents=True)
        (root / name / "file").touch()
    opened(root)
    return root


def test_a_directory_of_an_earlier_version_is_closed_when_it_is_opened(earlier: Path) -> None:
    _ = Project(earlier).task
    inside = {"snapshots/one", "snapshots/one/file", "students/one", "students/one/file", "reports/file"}
    assert open_to_others(earlier) == inside, "which lie in folders that are closed"
    assert stat.S_IMODE(earlier.stat().st_mode) == 0o777, "the directory itself may hold other things"


def test_links_are_left_as_they_are(earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    (tmp_path / "mine").chmod(0o644)
    (earlier / "pred_probs.parquet").symlink_to(tmp_path / "mine")
    _ = Project(earlier).task
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o644


def test_what_another_user_owns_is_no_error(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, _mode: int) -> None:
        raise PermissionError(self)

    monkeypatch.setattr(Path, "chmod", refuse)
    assert Project(earlier).task.label_names


@pytest.mark.usefixtures("umask")
def test_the_task_file_may_let_the_group_read(earlier: Path) -> None:
    task = yaml.safe_load((earlier / "task.yaml").read_text("utf-8"))
    (earlier / "task.yaml").write_text(yaml.safe_dump(task | {"group_readable": True}), "utf-8")
    for name in ("task.db", "task.db-wal"):
        (earlier / name).unlink()
    workspace = Workspace(earlier)
    assert workspace.task.group_readable
    with Ledger(workspace.db) as ledger:
        ledger.use_dataset("one", "queue")
    with new_folder(workspace.snapshots / "two", "last") as folder:
        (folder / "last").touch()
    modes = {
        name: oct(stat.S_IMODE((earlier / name).stat().st_mode))
        for name in ("task.db", "gold.parquet", "snapshots", "snapshots/two", "snapshots/two/last", "students", ".env")
    }
    assert modes == {
        "task.db": "0o640",
        "gold.parquet": "0o640",
        "snapshots": "0o750",
        "snapshots/two": "0o750",
        "snapshots/two/last": "0o640",
        "students": "0o750",
        ".env": "0o600",
    }
    with replacing(earlier / "new") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o640
    (earlier / "task.yaml").write_text(yaml.safe_dump(task), "utf-8")
    _ = Workspace(earlier).task
    with replacing(earlier / "new") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600, "what the task file says now"


@pytest.mark.usefixtures("umask")
def test_a_restored_directory_is_closed(earlier: Path, tmp_path: Path) -> None:
    for name in ("task.db", "task.db-wal"):
        (earlier / name).unlink()
    with Ledger(earlier / "task.db"):
        opened(earlier)
    workspace = Workspace(earlier)
    backup(workspace, tmp_path / "copy.tar.gz", None)
    assert stat.S_IMODE((tmp_path / "copy.tar.gz").stat().st_mode) == 0o600
    restore(tmp_path / "copy.tar.gz", tmp_path / "again", tmp_path / "argilla")
    inside = {"snapshots/one", "snapshots/one/file", "students/one", "students/one/file", "reports/file"}
    assert open_to_others(tmp_path / "again") <= inside

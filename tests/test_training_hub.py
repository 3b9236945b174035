from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import hub_server
import pyarrow.parquet as pq
import pytest
import yaml
from shop import Shop
from training_data import fill, make_workspace, records, sentences, small_task

from tutelage.core.records import Record, Response
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.pull import Fetched
from tutelage.feedback.curate import curate
from tutelage.feedback.snapshot import Snapshot, load_snapshot, write_snapshot
from tutelage.loaders.holdout import held_out
from tutelage.training.hub.upload import push_snapshot, push_student
from tutelage.training.manifest import TeacherLicense, teachers_of
from tutelage.training.registry import find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[hub_server.Hub]:
    with hub_server.running() as hub:
        yield hub


def env(hub: hub_server.Hub, tmp_path: Path, token: str = hub_server.TOKEN) -> dict[str, str]:
    home = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, **home}


def head_of(card: bytes) -> dict[str, object]:
    head: dict[str, object] = yaml.safe_load(card.decode().split("---\n")[1])
    return head


def test_a_student_is_uploaded_private_with_a_card_that_the_hub_reads(
    hub: hub_server.Hub, tmp_path: Path, tutelage: Run
) -> None:
    workspace = small_task(tmp_path / "task")
    words = ("--task", workspace.root, "--push-to-hub", "me/moves", "--json")
    done = json.loads(tutelage("train", *words, env=env(hub, tmp_path)).stdout)
    repo = hub.repos["models/me/moves"]
    assert repo["visibility"] == "private"
    folder = workspace.students / done["id"]
    local = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "seen.json"}
    assert repo["files"] == local
    assert head_of(repo["files"]["README.md"])["pipeline_tag"] == "text-classification"
    assert done["hub"] == f"{hub.url}/me/moves"

    tutelage("evaluate", "--task", workspace.root)
    tutelage("train", *words, env=env(hub, tmp_path))  # known already: the card is pushed again, with results
    (index,) = head_of(repo["files"]["README.md"])["model-index"]  # type: ignore[misc]
    assert index["results"][0]["metrics"][0]["type"] == "accuracy"


def test_public_is_asked_for(hub: hub_server.Hub, tmp_path: Path, tutelage: Run) -> None:
    small_task(tmp_path / "task")
    words = ("--task", tmp_path / "task", "--push-to-hub", "me/open", "--public")
    tutelage("train", *words, env=env(hub, tmp_path))
    assert hub.repos["models/me/open"]["visibility"] != "private"


def test_a_refusal_says_what_to_do(hub: hub_server.Hub, tmp_path: Path, tutelage: Run) -> None:
    small_task(tmp_path / "task")
    words = ("--task", tmp_path / "task", "--push-to-hub", "me/moves")
    done = tutelage("train", *words, env=env(hub, tmp_path, "hf_wrong"), ok=False)
    assert done.returncode == 1
    assert "--push-to-hub me/moves" in done.stderr
    assert "HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hf_wrong" not in done.stderr


def test_a_hub_out_of_reach_is_one_line_and_the_student_is_kept(tmp_path: Path, tutelage: Run) -> None:
    workspace = small_task(tmp_path / "task")
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_x", "HF_HUB_OFFLINE": "0"}
    done = tutelage("train", "--task", tmp_path / "task", "--push-to-hub", "me/moves", env=away, ok=False)
    assert done.returncode == 1
    assert "check that http://127.0.0.1:9 can be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert find_student(workspace.students).manifest.teachers == (TeacherLicense(name="tutor", license="Apache-2.0"),)


def test_a_teacher_that_the_task_file_does_not_name_is_named(tmp_path: Path) -> None:
    workspace = small_task(tmp_path / "task")
    bare = workspace.task.model_copy(update={"teachers": ()})
    found = teachers_of(bare, load_snapshot(workspace.snapshots))
    assert found == (TeacherLicense(name="tutor", license="not stated in the task file"),)


def test_a_name_that_cannot_be_is_refused_before_training(tmp_path: Path, tutelage: Run) -> None:
    workspace = small_task(tmp_path / "task")
    done = tutelage("train", "--task", tmp_path / "task", "--push-to-hub", "bad name/x", ok=False)
    assert done.returncode == 1
    assert "--push-to-hub bad name/x" in done.stderr
    assert not workspace.students.exists()


@pytest.fixture
def signed_in(hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch) -> hub_server.Hub:
    """The hub, to which this process may upload."""
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    api = huggingface_hub.HfApi(endpoint=hub.url, token=hub_server.TOKEN)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    return hub


def answered(workspace: Workspace, made: list[Record]) -> Snapshot:
    """A snapshot as ``pull`` makes it, with one answer of somebody who is there and one of somebody who left."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    there = Response(
        record_id=made[1].id,
        user_id="account-7",
        annotator="Ann Smith",
        status="submitted",
        label="up",
        reason="",
        updated_at=at,
    )
    gone = Response(
        record_id=made[2].id,
        user_id="account-8",
        annotator="Bob Jones",
        status="submitted",
        label="up",
        reason="",
        updated_at=at,
        state="user-deleted",
    )
    fetched = Fetched({made[1].id: [there], made[2].id: [gone]}, 0, {})
    origin = {"server": "http://argilla.example:6900", "dataset": "uuid-9", "name": "moves", **fetched.summary}
    return write_snapshot(workspace.snapshots, workspace.task, curate(made, fetched.responses, {}), origin)[0]


PRIVATE = ("Ann Smith", "Bob Jones", "account-7", "account-8", "argilla.example")


def told(files: dict[str, bytes], words: Iterable[str]) -> list[str]:
    """Which words stand somewhere in the files."""
    return [word for word in words if any(word.encode() in content for content in files.values())]


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub uploads LFS files so
def test_a_snapshot_is_uploaded_without_who_answered_and_where(signed_in: hub_server.Hub, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "task")
    made = records(sentences(12))
    fill(workspace, made, {})
    snapshot = answered(workspace, made)
    assert told({"here": (snapshot.path / "manifest.json").read_bytes()}, PRIVATE), "else this test shows nothing"
    push_snapshot(snapshot, workspace.task, "me/moves")
    repo = signed_in.repos["datasets/me/moves"]
    assert repo["visibility"] == "private"
    assert head_of(repo["files"]["README.md"])["configs"]
    table = pq.read_table(io.BytesIO(repo["files"]["data/train.parquet"]))
    assert table["id"].to_pylist() == [record.id for record in made]
    (said,) = table["responses"].to_pylist()[1]
    assert (said["annotator"], said["label"]) == ("annotator-1", "up")
    assert "user_id" not in said
    assert json.loads(repo["files"]["manifest.json"])["origin"]["by_status"] == {"submitted": 1}
    assert told(repo["files"], PRIVATE) == []


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub uploads LFS files so
def test_a_student_is_uploaded_without_who_answered_where_and_the_holdout(
    signed_in: hub_server.Hub, tmp_path: Path
) -> None:
    workspace = make_workspace(tmp_path / "task", holdout={"share": 0.3})
    rows = sentences(60)
    made = records([*rows, *((f"{text}!", gold) for text, gold in rows)])
    fill(workspace, made, {})
    answered(workspace, made)
    trained = train(workspace, parse_student("linear"))
    assert trained.left_out["near_duplicates"], "else this test shows nothing"
    push_student(find_student(workspace.students, trained.id), "me/student")
    files = signed_in.repos["models/me/student"]["files"]
    assert json.loads(files["student.json"])["snapshot_manifest"]["origin"]["by_status"] == {"submitted": 1}
    assert told(files, PRIVATE) == []
    assert told(files, held_out(workspace).texts) == []


def test_pull_uploads_what_it_froze(
    hub: hub_server.Hub, tmp_path: Path, tutelage: Run, shops: Callable[..., Shop]
) -> None:
    shop = shops()
    shop.add("positive", "negative")
    shop.push()
    argilla = {"ARGILLA_API_URL": shop.server.url, "ARGILLA_API_KEY": shop.server.api_key}
    words = ("--task", shop.workspace.root, "--push-to-hub", "me/labels", "--json")
    pulled = json.loads(tutelage("pull", *words, env={**env(hub, tmp_path), **argilla}).stdout)
    assert pulled["hub"] == f"{hub.url}/datasets/me/labels"
    files = hub.repos["datasets/me/labels"]["files"]
    assert json.loads(files["manifest.json"])["id"] == pulled["snapshot"]
    assert pq.read_table(io.BytesIO(files["data/train.parquet"])).num_rows == 2

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import hub_server
import pyarrow.parquet as pq
import pytest
import yaml
from shop import Shop
from training_data import fill, freeze, make_workspace, records, sentences, small_task

from tutelage.record import Response

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


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub uploads LFS files so
def test_a_snapshot_is_uploaded_without_annotators_names(
    hub: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from training.hub import push_snapshot

    workspace = make_workspace(tmp_path / "task")
    made = records(sentences(12))
    fill(workspace, made, {})
    answer = Response("r1", "account-7", "Ann Smith", "submitted", "up", "", datetime(2026, 1, 1, tzinfo=UTC))
    snapshot = freeze(workspace, made, {"r1": [answer]})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    api = huggingface_hub.HfApi(endpoint=hub.url, token=hub_server.TOKEN)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    push_snapshot(snapshot, workspace.task, "me/moves")
    repo = hub.repos["datasets/me/moves"]
    assert repo["visibility"] == "private"
    assert head_of(repo["files"]["README.md"])["configs"]
    table = pq.read_table(io.BytesIO(repo["files"]["data/train.parquet"]))
    assert table["id"].to_pylist() == [record.id for record in made]
    (said,) = table["responses"].to_pylist()[1]
    assert (said["annotator"], said["label"]) == ("annotator-1", "up")
    assert "user_id" not in said
    assert not any(b"Ann Smith" in content or b"account-7" in content for content in repo["files"].values())


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

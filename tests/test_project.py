"""``tutelage.Project``: every step as a Python call, frames that pandas users expect, the notebook page."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pandas as pd
import pytest
from click import Context, Group
from conftest import ROOT
from data_home import own_data_home
from shop import Shop
from training_data import small_task

import tutelage
from tutelage.commands.cli import COMMANDS, cli
from tutelage.core.records import Progress
from tutelage.project import Project
from tutelage.steps import results
from tutelage.steps.review import annotators
from tutelage.steps.review.annotators import Annotators
from tutelage.views import card, standing, status

VOTES = ["vote_1:reason_1", "vote_2:reason_2"]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture
def project(shop: Shop, argilla_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """Three records: votes for one label, a tie, and nothing but abstentions."""
    for name, value in argilla_env.items():
        monkeypatch.setenv(name, value)
    return Project(shop.workspace.root)


# The door


def test_import_is_light_and_opens_the_door_when_asked() -> None:
    code = "import sys, tutelage; before = set(sys.modules); tutelage.Project; tutelage.TutelageError;"
    code += "print(json.dumps(sorted(before))) if (json := __import__('json')) else 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(json.loads(done.stdout)) & {"numpy", "pandas", "pydantic", "httpx", "yaml", "torch", "click"}
    with pytest.raises(AttributeError, match="module 'tutelage' has no attribute 'Projekt'"):
        tutelage.Projekt  # noqa: B018


def test_its_names_are_those_it_lists() -> None:
    for name in tutelage.__all__:
        assert getattr(tutelage, name)
    assert issubclass(tutelage.StudentError, tutelage.TutelageError)


def test_every_command_is_a_call() -> None:
    calls = {"import": "import_votes", "predict": "predict_file", "serve-student": "serve", "demo": ""}
    calls |= {
        "import-review": "import_review",
        "export-student": "export_student",
        "annotators": "",
    }  # those of annotators are tested below
    for command in COMMANDS:
        name = calls.get(command, command)
        assert not name or callable(getattr(Project, name)), command


def test_every_command_of_annotators_is_a_call_of_its_own() -> None:
    group = cli.get_command(Context(cli), "annotators")
    assert isinstance(group, Group)
    assert {*group.commands} == {name for name in vars(Annotators) if not name.startswith("_")}
    assert isinstance(Project("nowhere").annotators, Annotators)


def test_every_step_and_every_field_is_documented() -> None:
    kinds = (Project, Annotators)
    public = [member for kind in kinds for name, member in inspect.getmembers(kind) if not name.startswith("_")]
    assert [member for member in public if not inspect.getdoc(member)] == []
    modules = (annotators, card, results, standing, status)
    made = [kind for module in modules for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)]
    own = [kind for kind in made if kind.__module__.startswith(("tutelage.steps", "tutelage.views"))]
    assert len(own) >= 8
    for kind in own:
        assert kind.__dataclass_params__.frozen or kind is results.Retrained, kind  # which is filled as its run goes
        if len(dataclasses.fields(kind)) > 3:
            missing = [f.name for f in dataclasses.fields(kind) if f.name not in (inspect.getdoc(kind) or "")]
            assert not missing, (kind, missing)


# Steps


def test_init_and_a_frame(tmp_path: Path) -> None:
    project = Project.init(tmp_path / "news", ["good", "bad", "so, so"])
    frame = pd.DataFrame(
        {"text": ["a", "b", None, "d"], "key": [7, 8, 9, 10], "v": ["good", "BAD", "good", pd.NA]},
        index=["w", "x", "y", "z"],
    )
    seen: list[Progress] = []
    loaded = Project(tmp_path / "news", progress=seen.append).import_votes(frame, id="key", votes=["v"])
    assert (loaded.rows, loaded.new, loaded.rejected, loaded.answers, loaded.abstentions) == (4, 3, 1, 3, 1)
    assert seen == [Progress("loading", 4, 4, "rows")]
    records = project.records().set_index("id")
    assert records["suggestion"].tolist()[:2] == ["good", "bad"]
    assert records.loc["10", "suggestion"] is None or pd.isna(records.loc["10", "suggestion"])
    reject = json.loads((tmp_path / "news" / "rejects.jsonl").read_text())
    assert (reject["source"], reject["row"], reject["reason"]) == ("DataFrame", 3, "has no text")


def test_a_frame_without_the_column_says_so(tmp_path: Path) -> None:
    project = Project.init(tmp_path / "news", ["good", "bad"])
    with pytest.raises(tutelage.SourceError, match="DataFrame: no column 'text'; its columns: body"):
        project.load(pd.DataFrame({"body": ["a"]}))


def test_the_loop_and_what_it_leaves(project: Project, shop: Shop) -> None:
    pushed = project.push(anyway=True)
    assert (pushed.sent, pushed.created, pushed.rejected) == (3, True, {})
    ranked = project.rank()
    assert (ranked.ranked, ranked.queue) == (3, 3)
    suspects = project.suspects()
    assert suspects["suspect_rank"].tolist() == [1, 2, 3]
    assert suspects["label_quality"].is_monotonic_increasing
    assert suspects.loc[0, "link"] == (
        f"{shop.server.url}/dataset/{pushed.dataset}/annotation-mode?metadata=suspect_rank.ge1.le1"
    )
    assert project.suspects(1)["id"].tolist() == suspects["id"].tolist()[:1]
    one = suspects.set_index("id").loc["r0"]
    assert set(one["reasons"]) == {"positive", "negative"}
    shop.answer(shop.annotator(), "r0", "negative")
    pulled = project.pull()
    assert (pulled.new, pulled.by_status, pulled.by_source["human"]) == (True, {"submitted": 1}, 1)
    (response,) = project.responses().to_dict("records")
    assert (response["shown"], response["reason_by"]) == ("positive", "")
    assert (response["id"], response["label"], response["status"]) == ("r0", "negative", "submitted")
    curated = project.curated().set_index("id")
    assert (curated.loc["r0", "label"], curated.loc["r0", "source"]) == ("negative", "human")
    assert project.suspects().set_index("id").loc["r0", "status"] == "reviewed"


def test_votes_are_long_and_an_abstention_has_no_label(project: Project) -> None:
    votes = project.votes()
    assert list(votes.columns) == ["id", "teacher", "prompt", "vote", "label", "reason", "answer"]
    assert len(votes) == 7
    nothing = votes[votes["id"] == "r2"]
    assert nothing["label"].isna().all()
    assert nothing["answer"].tolist() == ["hm", "hm"]


def test_without_votes_and_answers_the_frames_are_empty_and_have_their_columns(tmp_path: Path) -> None:
    project = Project.init(tmp_path / "news", ["good", "bad"])
    for frame in (project.records(), project.votes(), project.responses(), project.suspects(), project.students()):
        assert frame.empty
        assert len(frame.columns) >= 7
    with pytest.raises(tutelage.SnapshotError, match="no snapshot yet; create one with: tutelage pull"):
        project.curated()


def test_train_evaluate_promote_predict(tmp_path: Path) -> None:
    project = Project(small_task(tmp_path).root)
    trained = project.train("linear", human_weight=3.0)
    assert trained.is_new
    assert not project.train("linear", human_weight=3.0).is_new
    report = project.evaluate(student=trained.id)
    assert report.evaluation.student == trained.id
    assert report.report.exists()
    assert report.figure.exists()
    change = project.promote(trained.id)
    assert (change.champion, change.before) == (trained.id, None)
    assert project.students()["champion"].tolist() == [True]
    texts = pd.Series(["profit rose", "sales fell"], index=["a", "b"])
    found = project.predict(texts)
    assert found.index.tolist() == ["a", "b"]
    names = project.task.label_names
    assert list(found.columns) == ["label", *(f"prob_{name}" for name in names)]
    assert found.filter(like="prob_").sum(axis=1).tolist() == pytest.approx([1, 1])
    assert found["label"].tolist() == [names[row.argmax()] for row in found.filter(like="prob_").to_numpy()]
    with pytest.raises(tutelage.SourceError, match=r"texts\[1\] is '', which is no text"):
        project.predict(["a", ""])
    data = project.curated_dataset()
    assert data.features["label"].names == list(names)
    assert len(data) == project.curated()["label"].notna().sum()


def test_a_call_and_the_command_say_the_same(tmp_path: Path, tutelage: Callable[..., CompletedProcess[str]]) -> None:
    project = Project(small_task(tmp_path).root)
    project.train("linear")
    said = json.loads(tutelage("status", "--json", "--task", project.workspace.root).stdout)
    assert said == json.loads(json.dumps(asdict(project.status())))
    said = json.loads(tutelage("evaluate", "--json", "--task", project.workspace.root).stdout)
    report = project.evaluate()
    mine = json.loads(json.dumps(asdict(report.evaluation))) | {"report": str(report.report)}
    assert {key: said[key] for key in mine if key != "at"} == {key: mine[key] for key in mine if key != "at"}


# The notebook


def cells() -> Iterator[str]:
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    program = tmp_path / "notebook.py"
    program.write_text("\n".join(cells()).replace("project.up()", "project.up(port=0)"), "utf-8")
    env: dict[str, Any] = {**os.environ, **own_data_home(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "annotation-mode?status=pending" in done.stdout
    assert "was trained on" in done.stdout  # the error that the last but one cell shows


def test_the_notebook_holds_no_output_that_could_grow_old() -> None:
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")

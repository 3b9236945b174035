"""What a training leaves beside the student: its loss curve, and the logs of a tracker."""

from __future__ import annotations

import importlib.machinery
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest
from training_data import sentences, small_task, tiny_roberta

import tutelage as front_door
from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.training.registry import Entry, find_student
from tutelage.training.runs import trackers
from tutelage.training.train import TrainResult

OPTIONS: dict[str, Any] = {"learning_rate": 5e-3, "epochs": 2, "max_length": 40, "batch_size": 8}
"""19 steps an epoch: logs after 10, 19, 20, 30 and 38."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)])


def trained(workspace: Workspace, tiny: Path, **options: Any) -> Entry:
    result = front_door.Project(workspace.root).train(str(tiny), **OPTIONS, **options)
    return find_student(workspace.students, result.id)


def scalars(folder: Path) -> dict[str, list[int]]:
    """The steps of each figure that TensorBoard finds below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_losses_lie_beside_the_student(tmp_path: Path, tiny: Path) -> None:
    entry = trained(small_task(tmp_path), tiny)
    curve = pd.read_json(entry.path / "loss_curve.json")
    assert list(curve.columns) == ["step", "epoch", "split", "loss"]
    training, validation = (curve[curve["split"] == split] for split in ("training", "validation"))
    assert training["step"].tolist() == [10, 19, 20, 30, 38]
    assert validation["step"].tolist() == [19, 38]
    assert validation["epoch"].tolist() == [1.0, 2.0]
    of_epochs = [np.average(part["loss"], weights=counts) for part, counts in parts(training)]
    assert of_epochs == pytest.approx(entry.manifest.training["loss"], abs=1e-4)
    assert (entry.path / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    assert not (entry.path / "tensorboard").exists(), "no tracker, though it is installed"


def parts(training: pd.DataFrame) -> list[tuple[pd.DataFrame, list[int]]]:
    return [(training[:2], [10, 9]), (training[2:], [1, 10, 8])]


def test_logs_for_tensorboard_outlive_a_kill_and_end_beside_the_student(tmp_path: Path, tiny: Path) -> None:
    workspace = small_task(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.TrainerCallback.on_save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained(workspace, tiny, report_to="tensorboard")
    (work,) = workspace.students.glob(".work-*")
    assert scalars(work / "tensorboard")["train/loss"] == [10, 19]
    entry = trained(workspace, tiny, report_to="tensorboard")
    found = scalars(entry.path / "tensorboard")
    assert (found["train/loss"], found["eval/loss"]) == ([10, 19, 20, 30, 38], [19, 38])


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.long
def test_a_library_that_prints_leaves_one_object_on_standard_output(
    tmp_path: Path, tiny: Path, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    words = ("train", "--task", small_task(tmp_path).root, "--student", tiny, "--epochs", 1, "--json")
    assert json.loads(tutelage(*words, env={"WANDB_MODE": "offline"}).stdout)["is_new"]


def test_a_kind_without_losses_says_so(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    result: TrainResult = front_door.Project(workspace.root).train("linear", report_to="tensorboard", epochs=3)
    assert set(result.idle_options) == {"epochs", "report_to"}
    assert list(Path(result.path).glob("loss_curve.*")) == []


@pytest.mark.parametrize("library", ["mlflow", "wandb"])
def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    real = trackers.find_spec

    def find(name: str) -> importlib.machinery.ModuleSpec | None:
        return None if name == library else real(name)

    monkeypatch.setattr(trackers, "find_spec", find)
    with pytest.raises(StudentError, match=f"--report-to {library}: .* not installed; .* pip install {library}$"):
        trained(small_task(tmp_path), tiny, report_to=library)
    with pytest.raises(StudentError, match="--report-to paper: is not known; use one of tensorboard, mlflow, wandb"):
        trained(small_task(tmp_path / "other"), tiny, report_to="paper")

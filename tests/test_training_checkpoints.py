"""Checkpoints within an epoch: what a kill there loses, and what comes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training_data import sentences, small_task, tiny_roberta

from tutelage.core.compute import check_launcher
from tutelage.core.errors import StudentError
from tutelage.core.records import Progress
from tutelage.core.workspace import Workspace
from tutelage.training.registry import Entry, find_student
from tutelage.training.runs import checkpoints
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

ROOT = Path(__file__).parents[1]
OPTIONS = {"learning_rate": 2e-2, "epochs": 2, "max_length": 40, "batch_size": 4}
"""37 steps an epoch: logs after 10, 20, 30 and 37 of the first, after 40, 50 … of the second."""

TEXTS = [text for text, _ in sentences(40, seed=5)]
KILLED = """
import os, signal, sys
from pathlib import Path
from transformers import TrainerCallback
from tutelage.core.workspace import Workspace
from tutelage.training.runs import checkpoints
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

def on_save(self, args, state, control, **_):
    if state.global_step == 50:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints.WITHIN_EPOCH_S = 0.0
TrainerCallback.on_save = on_save
train(Workspace(Path(sys.argv[1])), parse_student(sys.argv[2], **eval(sys.argv[3])))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)])


def trained(workspace: Workspace, tiny: Path, states: list[Progress] | None = None, **options: Any) -> Entry:
    recipe = parse_student(str(tiny), **{**OPTIONS, **options})
    tell = ([] if states is None else states).append
    return find_student(workspace.students, train(workspace, recipe, progress=tell).id)


def same(one: Entry, other: Entry) -> bool:
    equal = bool((one.load().predict_proba(TEXTS) == other.load().predict_proba(TEXTS)).all())
    return equal and one.manifest.training == other.manifest.training


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Entry:
    """The student of a training that nothing interrupted."""
    return trained(small_task(tmp_path_factory.mktemp("whole")), tiny)


def kept(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.students.glob(".work-*/checkpoint-*"))


def test_killed_within_an_epoch_the_same_student_comes_of_it(tmp_path: Path, tiny: Path, whole: Entry) -> None:
    workspace, states = small_task(tmp_path), list[Progress]()
    words = [sys.executable, "-c", KILLED, str(workspace.root), str(tiny), repr(OPTIONS)]
    killed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "checkpoint-50" in kept(workspace), "within the second epoch"
    assert len(kept(workspace)) == 2, "the newest, and the best of those after an epoch"
    assert same(trained(workspace, tiny, states), whole)
    assert min(state.done for state in states if state.unit == "steps") == 51


def test_accumulated_batches_go_on_within_an_epoch(tmp_path: Path, tiny: Path) -> None:
    options = {"accumulate": 2, "batch_size": 2, "validation": 0.0, "epochs": 1}
    workspace = small_task(tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "WITHIN_EPOCH_S", 0.0)
        interrupt_at(10, patch)
        with pytest.raises(KeyboardInterrupt):
            trained(workspace, tiny, **options)
    assert kept(workspace) == ["checkpoint-10"]
    assert same(trained(workspace, tiny, **options), trained(small_task(tmp_path / "whole"), tiny, **options))


def interrupt_at(step: int, patch: pytest.MonkeyPatch) -> None:
    def on_save(_self: Any, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.global_step == step:
            raise KeyboardInterrupt

    patch.setattr("transformers.TrainerCallback.on_save", on_save)


def test_a_short_epoch_has_one_checkpoint(tmp_path: Path, tiny: Path) -> None:
    workspace, states = small_task(tmp_path), list[Progress]()
    trained(workspace, tiny, states)
    assert [state.step for state in states].count(checkpoints.CHECKPOINT_SAVED.step) == 2


def test_a_checkpoint_whose_last_file_is_cut_short_is_none(tmp_path: Path) -> None:
    for step, state in ((10, "{}"), (20, '{"epoch": 0.5}'), (30, ""), (40, '{"epoch": 1.0, "log_')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / checkpoints.STATE).write_text(state, "utf-8")
    assert checkpoints.last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-20"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-20"]


# Several processes on processors


def test_a_launcher_that_starts_one_process_says_which_one_starts_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Path(sys.executable).with_name("accelerate")
    words = [tool, "launch", "--cpu", "--num_processes", "2", "--no_python", "env", "-0"]
    environment = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for line in environment.split("\0"):
        name, _, value = line.partition("=")
        if name and os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    with pytest.raises(StudentError, match=r"starts one process only.*torchrun --nproc-per-node 2 -m tutelage train"):
        train(small_task(tmp_path), parse_student("a/model"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launcher()


SEVERAL = """
from tutelage.commands.cli import main
from tutelage.core import compute
from tutelage.training.runs import checkpoints

checkpoints.WITHIN_EPOCH_S = 0.0
compute._flags = set
main()
"""


@pytest.mark.long
def test_processes_share_a_batch_on_processors_without_bf16(tmp_path: Path, tiny: Path) -> None:
    workspace, program = small_task(tmp_path), tmp_path / "several.py"
    program.write_text(SEVERAL, "utf-8")
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program, "train", "--json"]
    words += ["--task", workspace.root, "--student", tiny, "--epochs", "2", "--batch-size", "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"is_new": true') == 1
    assert find_student(workspace.students).manifest.training["devices"] == 2

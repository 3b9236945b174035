from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from training_data import sentences, small_task, tiny_roberta

from tutelage.core import compute
from tutelage.core.errors import StudentError
from tutelage.core.records import Progress
from tutelage.core.workspace import Workspace
from tutelage.training.cost import Meter, estimate_cost
from tutelage.training.encoders.loading import usable_length
from tutelage.training.registry import Entry, find_student, list_students
from tutelage.training.students import finetune, setfit
from tutelage.training.students.fit import fit_student
from tutelage.training.students.recipe import Recipe, parse_student
from tutelage.training.train import train

ROOT = Path(__file__).parents[1]
OPTIONS = {"learning_rate": 2e-2, "epochs": 12, "max_length": 40, "patience": 2}
TEXTS = [text for text, _ in sentences(40, seed=5)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Entry:
    """The student of a training that nothing interrupted."""
    return trained(small_task(tmp_path_factory.mktemp("whole")), tiny)


def trained(workspace: Workspace, tiny: Path, states: list[Progress] | None = None, **options: Any) -> Entry:
    recipe = parse_student(str(tiny), **{**OPTIONS, **options})
    return find_student(
        workspace.students, train(workspace, recipe, progress=([] if states is None else states).append).id
    )


def same(one: Entry, other: Entry) -> bool:
    equal = bool((one.load().predict_proba(TEXTS) == other.load().predict_proba(TEXTS)).all())
    return equal and one.manifest.training == other.manifest.training


def interrupt_after(epoch: int, patch: pytest.MonkeyPatch) -> None:
    def on_save(_self: Any, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.epoch == epoch:
            raise KeyboardInterrupt

    patch.setattr("transformers.TrainerCallback.on_save", on_save)


def interrupted(workspace: Workspace, tiny: Path, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(workspace, tiny, **options)


# Killed


def test_stopped_after_any_epoch_the_same_student_comes_of_it(tmp_path: Path, tiny: Path, whole: Entry) -> None:
    epochs = int(whole.manifest.training["epochs"])
    assert 2 < epochs < OPTIONS["epochs"], "it stopped early, and not at once"
    for epoch in range(1, epochs + 1):
        workspace = small_task(tmp_path / str(epoch))
        with pytest.MonkeyPatch.context() as patch:
            interrupt_after(epoch, patch)
            interrupted(workspace, tiny)
        assert same(trained(workspace, tiny), whole), epoch


def test_stopped_after_training_nothing_is_trained_again(tmp_path: Path, tiny: Path, whole: Entry) -> None:
    workspace, words = small_task(tmp_path), list[Progress]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.training.train.fit_temperature", Mock(side_effect=KeyboardInterrupt))
        interrupted(workspace, tiny)
    assert same(trained(workspace, tiny, words), whole)
    assert [word for word in words if "epoch" in word.step] == []


def test_stopped_without_validation_nothing_is_trained_again(tmp_path: Path, tiny: Path) -> None:
    options = {"validation": 0.0, "epochs": 2}
    workspace, words = small_task(tmp_path / "stopped"), list[Progress]()
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(2, patch)
        interrupted(workspace, tiny, **options)
    stopped = trained(workspace, tiny, words, **options)
    assert [word for word in words if "epoch" in word.step] == []
    assert same(stopped, trained(small_task(tmp_path / "whole"), tiny, **options))


# What it took


def test_what_killed_runs_took_counts(tmp_path: Path) -> None:
    with Meter(tmp_path) as meter:
        sum(range(2_000_000))
    first = meter.total()
    with Meter(tmp_path) as meter:
        pass
    assert meter.total().cpu_s >= first.cpu_s > 0
    assert meter.total().wall_s >= first.wall_s > 0


def test_a_kill_loses_only_what_comes_after_the_last_note(tmp_path: Path, tiny: Path) -> None:
    workspace = small_task(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Meter, "__exit__", lambda *_: None)  # a killed process does not leave the block
        interrupt_after(1, patch)
        interrupted(workspace, tiny)
    (kept,) = workspace.students.glob(".work-*/took-0.json")
    took = json.loads(kept.read_text("utf-8"))
    assert took["cpu_s"] > 0
    kept.write_text(json.dumps(took | {"cpu_s": 5000.0}), "utf-8")
    assert trained(workspace, tiny).manifest.took.cpu_s > 5000


def test_processes_and_their_gpus_add_up(tmp_path: Path) -> None:
    for rank, wall in enumerate((3000.0, 3600.0)):
        spent = {"wall_s": wall, "cpu_s": 1800.0, "gpu_s": wall}
        (tmp_path / f"took-{rank}.json").write_text(json.dumps(spent), "utf-8")
    took = Meter(tmp_path).total()
    assert took == estimate_cost(3600, 3600, gpu_s=6600)
    assert took.cost_usd == pytest.approx(0.05 + 0.6 * 6600 / 3600)
    assert took.energy_kwh == pytest.approx(0.01 + 0.3 * 6600 / 3600)
    assert "0.6 $ per GPU hour" in took.basis


# The hardware


def test_a_gpu_says_nothing_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "has_gpu", lambda: True)
    monkeypatch.setattr(compute, "gpu_has_bf16", lambda: False)
    monkeypatch.setattr(compute, "_flags", lambda: {"amx_bf16"})
    assert not compute.has_bf16()
    assert compute.cpu_has_bf16()


def test_a_process_takes_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "has_bf16", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    arguments = finetune._arguments(Recipe(kind="encoder", model="x"), tmp_path, validates=False)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 16)


@pytest.mark.parametrize(("positions", "length"), [(514, 256), (130, 128), (-1, 256), (None, 256)])
def test_a_model_without_an_end_takes_every_length(positions: int | None, length: int) -> None:
    config = type("Config", (), {} if positions is None else {"max_position_embeddings": positions})
    tokenizer = type("Tokenizer", (), {"model_max_length": int(1e30)})
    assert usable_length(config, tokenizer, 256) == length


# Memory


def too_much_above(rows: int, patch: pytest.MonkeyPatch) -> None:
    real = finetune.weighted_cross_entropy

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        if len(labels) > rows and outputs["logits"].requires_grad:
            raise torch.OutOfMemoryError
        return real(outputs, labels, num_items_in_batch)

    patch.setattr(finetune, "weighted_cross_entropy", loss)


def test_short_memory_halves_the_batches_and_adds_them_up(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = trained(small_task(tmp_path / "asked"), tiny, epochs=2, batch_size=4, accumulate=4)
    too_much_above(4, monkeypatch)
    words = list[Progress]()
    short = trained(small_task(tmp_path / "short"), tiny, words, epochs=2)
    assert [state.step for state in words if "memory" in state.step] == [
        "out of GPU memory: continuing with --batch-size 8 --accumulate 2",
        "out of GPU memory: continuing with --batch-size 4 --accumulate 4",
    ]
    assert same(short, asked)


def test_memory_for_no_batch_at_all_says_what_to_do(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_much_above(0, monkeypatch)
    with pytest.raises(StudentError, match=r"--batch-size 1: out of GPU memory.* --accumulate .* --max-length"):
        trained(small_task(tmp_path), tiny)


# Several processes


def launch(workspace: Workspace, student: str, count: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Train in so many processes, as ``accelerate launch`` starts them."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "tutelage"]
    words = ["train", "--student", student, "--task", str(workspace.root), "--json", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *start, *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("student", ["linear", "some/model:frozen"])
def test_kinds_for_one_process_are_left_to_the_main_one(
    tmp_path: Path, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    workspace = small_task(tmp_path)
    assert not train(workspace, parse_student(student)).is_new
    assert not workspace.students.exists()


@pytest.mark.long
def test_two_processes_make_one_frozen_student(tmp_path: Path, tiny: Path) -> None:
    workspace = small_task(tmp_path)
    done = launch(workspace, f"{tiny}:frozen", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"is_new": true') == 1
    assert len(list_students(workspace.students)) == 1


@pytest.mark.long
def test_two_processes_share_a_batch_and_end_as_one_does(tmp_path: Path) -> None:
    calm = tiny_roberta(tmp_path / "calm", [text for text, _ in sentences(240)])
    config = json.loads((calm / "config.json").read_text("utf-8"))
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # drawn in each process for its rows
    (calm / "config.json").write_text(json.dumps(config | still), "utf-8")
    options = ("--epochs", "4", "--learning-rate", "5e-3", "--validation", "0", "--batch-size", "10")
    found = []
    for count in (1, 2):
        workspace = small_task(tmp_path / str(count))
        done = launch(workspace, str(calm), count, *options)
        assert done.returncode == 0, done.stderr
        found.append(find_student(workspace.students))
    one, two = found
    assert one.id == two.id
    assert (one.manifest.training["devices"], two.manifest.training["devices"]) == (1, 2)
    # Not closer: the last batch of an epoch is filled up. With a whole batch in each process it is 0.4.
    np.testing.assert_allclose(one.load().predict_proba(TEXTS), two.load().predict_proba(TEXTS), atol=0.1)
    assert two.manifest.took.cpu_s > 0


@pytest.mark.parametrize("kind", ["", ":setfit"])
def test_a_batch_that_the_processes_cannot_share_says_so(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(
        StudentError, match="--batch-size 16: the global batch size must be divisible by the 3 processes; use 15 or 18"
    ):
        train(small_task(tmp_path), parse_student(f"{tiny}{kind}"))


def test_setfit_takes_its_share_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(setfit, "tuned_body", lambda recipe, *_: taken.append(recipe))
    monkeypatch.setattr(setfit.frozen, "with_head", Mock())
    fit_student(parse_student("setfit"), Mock(labels=np.array([0, 1])), ("a", "b"), tmp_path, [].append)
    assert [recipe.batch_size for recipe in taken] == [8]

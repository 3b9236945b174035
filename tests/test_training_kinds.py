"""Kinds of students and what training them can be asked for; all with tiny encoders."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from training_data import WORDS, sentences, small_task, tiny_roberta

from tutelage.core.arrays import one_hot
from tutelage.core.errors import StudentError
from tutelage.core.records import Progress
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.holdout import LOCK, HeldOut, held_out
from tutelage.training.evaluation.gold_set import load_holdout
from tutelage.training.evaluation.learning_curve import learning_curve, stratified_order
from tutelage.training.registry import find_student
from tutelage.training.runs.checkpoints import last_complete_checkpoint
from tutelage.training.students.finetune import sample_weights, weighted_cross_entropy
from tutelage.training.students.fit import FEW, choose_recipe, fit_student
from tutelage.training.students.kinds import KINDS, SETFIT
from tutelage.training.students.recipe import Recipe, parse_student, student_id
from tutelage.training.students.training_set import SnapshotRows, TrainingSet, split_validation
from tutelage.training.train import train

ROOT = Path(__file__).resolve().parent.parent
NAMES = tuple(WORDS)
FAST = {"learning_rate": 5e-3, "epochs": 6, "max_length": 40}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)]))


def training_set(count: int, seed: int = 0) -> TrainingSet:
    rows = sentences(count, seed)
    labels = np.array([NAMES.index(label) for _, label in rows])
    ids = tuple(map(str, range(count)))
    return TrainingSet(
        ids=ids,
        texts=tuple(text for text, _ in rows),
        labels=labels,
        weights=np.ones(count),
        targets=one_hot(labels, 3),
    )


@pytest.mark.parametrize("kind", ["frozen", "setfit"])
def test_a_sentence_encoder_learns_and_reloads_equal(tmp_path: Path, tiny: str, kind: str) -> None:
    workspace = small_task(tmp_path, count=60 if kind == "setfit" else 240)
    recipe = parse_student(f"{tiny}:{kind}", **FAST)
    trained = train(workspace, recipe)
    entry = find_student(workspace.students, trained.id)
    texts = [text for text, _ in sentences(90, seed=5)]
    gold = np.array([NAMES.index(label) for _, label in sentences(90, seed=5)])
    probs = entry.load().predict_proba(texts)
    assert probs.shape == (90, 3)
    assert (probs == entry.load().predict_proba(texts)).all()
    assert (probs.argmax(axis=1) == gold).mean() > 0.45  # by chance a third
    files = {path.suffix for path in entry.path.rglob("*") if path.is_file()}
    assert files <= {".json", ".safetensors", ".npz", ".md", ".txt"}
    assert entry.load().predict_proba([]).shape == (0, 3)


def test_setfit_changes_the_encoder_and_frozen_does_not(tmp_path: Path, tiny: str) -> None:
    from safetensors.numpy import load_file

    before = load_file(Path(tiny) / "model.safetensors")
    for kind, changes in (("frozen", False), ("setfit", True)):
        student = fit_student(
            parse_student(f"{tiny}:{kind}"), training_set(12), NAMES, tmp_path, lambda _words: None
        ).student
        folder = tmp_path / kind
        folder.mkdir()
        student.save(folder)
        after = load_file(folder / "model.safetensors")
        name = next(key for key in after if key.endswith("layer.0.attention.self.query.weight"))
        old = next(value for key, value in before.items() if key.endswith(name))
        assert (np.abs(old - after[name]).max() > 1e-5) == changes


def test_setfit_of_one_label_says_that_label(tmp_path: Path, tiny: str) -> None:
    rows = training_set(40)
    said: list[Progress] = []
    one = rows.take(np.flatnonzero(rows.labels == 2))
    student = fit_student(parse_student(f"{tiny}:setfit", **FAST), one, NAMES, tmp_path, said.append).student
    np.testing.assert_allclose(student.predict_proba(["anything"]), [[0, 0, 1]])
    assert "not fine-tuned" in said[0].step


# auto


def test_auto_takes_setfit_for_few_labels_and_the_encoder_for_many() -> None:
    few, many = np.repeat([0, 1], FEW - 1), np.repeat([0, 1], FEW)
    recipe, why = choose_recipe(few, "some/encoder", {"seed": 7})
    assert (recipe.kind, recipe.model, recipe.seed) == ("setfit", KINDS[SETFIT].model, 7)
    assert f"{FEW - 1} labels per class are fewer than {FEW}" in why
    recipe, why = choose_recipe(many, "some/encoder", {})
    assert (recipe.kind, recipe.model) == ("encoder", "some/encoder")
    assert f"{FEW} labels per class" in why
    for no_encoder in ("auto", "linear", "some/encoder:frozen"):
        assert choose_recipe(many, no_encoder, {})[0].model == "FacebookAI/roberta-base"


def test_auto_counts_what_may_be_learned_from(tmp_path: Path) -> None:
    workspace = small_task(tmp_path, count=200)  # a third is held out: under 50 a class are left
    rows = SnapshotRows(load_snapshot(workspace.snapshots).frame(), NAMES, held_out(workspace))
    learned_from, _ = rows.select(parse_student("linear"))
    assert choose_recipe(learned_from.labels, "auto", {})[0].kind == "setfit"


# Options


def test_the_id_depends_on_all_that_decides_the_student_and_on_nothing_else() -> None:
    base = parse_student("some/model")
    ids = {student_id(recipe, "s", []) for recipe in (base, replace(base, seed=1), replace(base, epochs=3))}
    assert len(ids) == 3
    assert len({student_id(base, snapshot, out) for snapshot in "ab" for out in ([], ["x"])}) == 4
    linear = parse_student("linear")
    assert student_id(linear, "s", []) == student_id(replace(linear, epochs=3, seed=9), "s", [])
    assert student_id(linear, "s", []) != student_id(replace(linear, human_weight=3), "s", [])


def test_soft_targets_are_the_shares_of_the_votes(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    frame = _frame(workspace)
    recipe = replace(parse_student("some/model"), soft_targets=True)
    found, _ = SnapshotRows(frame, NAMES, HeldOut(frozenset(), ())).select(recipe)
    for row, votes in enumerate(frame["votes"]):
        said = [vote["label"] for vote in votes]
        np.testing.assert_allclose(found.targets[row], [said.count(name) / 3 for name in NAMES])
    assert (
        SnapshotRows(frame, NAMES, HeldOut(frozenset(), ())).select(parse_student("linear"))[0].targets.max(axis=1) == 1
    ).all()


def test_a_human_label_weighs_more_and_is_no_suspect(tmp_path: Path) -> None:
    frame = _frame(small_task(tmp_path, count=40))
    frame["source"] = ["human"] * 10 + ["teacher"] * 30
    frame["label_quality"] = np.linspace(0, 1, 40)
    recipe = replace(parse_student("linear"), human_weight=3.0, suspects_out=0.2)
    found, left_out = SnapshotRows(frame, NAMES, HeldOut(frozenset(), ())).select(recipe)
    assert set(left_out.suspects) == set(frame["id"][10:16])
    assert found.weights.mean() == pytest.approx(1)
    assert found.weights[0] == pytest.approx(3 * found.weights[-1])


def test_suspects_need_a_ranking(tmp_path: Path) -> None:
    frame = _frame(small_task(tmp_path, count=40))
    recipe = replace(parse_student("linear"), suspects_out=0.2)
    with pytest.raises(StudentError, match=r"--suspects-out 0\.2: .* tutelage rank, then: tutelage pull"):
        SnapshotRows(frame, NAMES, HeldOut(frozenset(), ())).select(recipe)
    frame["source"] = "human"
    assert not SnapshotRows(frame, NAMES, HeldOut(frozenset(), ())).select(recipe)[1].suspects


def _frame(workspace: Workspace):  # type: ignore[no-untyped-def]  # noqa: ANN202  # a pandas frame
    from tutelage.feedback.snapshot import load_snapshot

    return load_snapshot(workspace.snapshots).frame()


def test_class_weights_make_labels_weigh_the_same() -> None:
    rows = training_set(60)
    weights = sample_weights(rows, balanced=True)
    sums = [weights[rows.labels == k].sum() for k in range(3)]
    np.testing.assert_allclose(sums, 20)
    assert (sample_weights(rows, balanced=False) == 1).all()


def test_the_loss_is_the_weighted_mean_whatever_the_accumulation() -> None:
    import torch

    torch.manual_seed(0)
    logits = torch.randn(6, 3)
    labels = torch.nn.functional.one_hot(torch.arange(6) % 3, 3).float()
    plain = torch.nn.functional.cross_entropy(logits, torch.arange(6) % 3)
    assert weighted_cross_entropy({"logits": logits}, labels) == pytest.approx(plain)
    halves = [weighted_cross_entropy({"logits": logits[i : i + 3]}, labels[i : i + 3], 18) for i in (0, 3)]
    assert sum(halves) == pytest.approx(plain)
    doubled = weighted_cross_entropy({"logits": logits[:1]}, 2 * labels[:1])
    assert doubled == pytest.approx(2 * weighted_cross_entropy({"logits": logits[:1]}, labels[:1]))


def test_accumulation_does_what_a_larger_batch_does(tmp_path: Path, tiny: str) -> None:
    texts = [text for text, _ in sentences(30, seed=3)]
    probs = []
    for batch, accumulate in ((16, 1), (8, 2)):
        recipe = parse_student(tiny, learning_rate=1e-3, epochs=1, batch_size=batch, accumulate=accumulate)
        fitted = fit_student(
            replace(recipe, validation=0.0), training_set(64), NAMES, tmp_path / str(batch), lambda _: None
        )
        probs.append(fitted.student.predict_proba(texts))
    np.testing.assert_allclose(probs[0], probs[1], atol=0.02)


def test_validation_is_drawn_by_text_and_in_proportion() -> None:
    rows = training_set(100)
    twice = TrainingSet(
        ids=(*rows.ids, *(f"twin{i}" for i in rows.ids)),
        texts=(*rows.texts, *(f" {text}" for text in rows.texts)),
        labels=np.tile(rows.labels, 2),
        weights=np.ones(200),
        targets=np.tile(rows.targets, (2, 1)),
    )
    train_rows, validation = split_validation(twice, 0.1, 0)
    assert validation is not None
    assert 15 <= len(validation) <= 25
    assert not {text.strip() for text in train_rows.texts} & {text.strip() for text in validation.texts}
    assert split_validation(training_set(20), 0.1, 0)[1] is None
    assert split_validation(rows, 0.0, 0)[1] is None
    half = split_validation(rows, 0.5, 0)[1]
    assert half is not None
    assert 45 <= len(half) <= 55
    with pytest.raises(StudentError, match=r"--validation 0\.7: must be at most 0\.5"):
        split_validation(rows, 0.7, 0)


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path: Path, tiny: str) -> None:
    recipe = parse_student(tiny, learning_rate=5e-3, epochs=40, patience=2)
    fitted = fit_student(recipe, training_set(150), NAMES, tmp_path, lambda _words: None)
    student, validation, story = fitted.student, fitted.validation, fitted.training
    scores = story["validation_macro_f1"]
    assert validation is not None
    assert len(scores) < 40
    assert scores.index(max(scores)) == len(scores) - 1 - 2
    said = student.predict_proba(validation.texts).argmax(axis=1)
    from sklearn.metrics import f1_score

    assert f1_score(validation.labels, said, average="macro") == pytest.approx(max(scores), abs=0.05)


def test_the_learning_curve_grows_and_ends_at_the_student(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    trained = train(workspace, parse_student("linear"))
    points = learning_curve(workspace, find_student(workspace.students, trained.id), load_holdout(workspace))
    assert [point.rows for point in points] == [round(share * trained.rows) for share in (0.1, 0.2, 0.4, 0.7, 1)]
    assert points[0].accuracy < points[-1].accuracy
    assert list(workspace.students.iterdir()) == [workspace.students / trained.id]


def test_a_part_of_the_curve_that_lacks_a_label_is_left_out(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    trained = train(workspace, parse_student("linear"))
    sheet, said = load_holdout(workspace), list[Progress]()
    entry = find_student(workspace.students, trained.id)
    points = learning_curve(workspace, entry, sheet, shares=(2 / trained.rows, 3 / trained.rows), progress=said.append)
    assert [point.rows for point in points] == [3]
    assert Progress("learning curve: skipped 2 rows, which do not have every label", 0, 2) in said


def test_each_beginning_of_the_curves_rows_has_the_labels_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [2, 40, 158])
    order = stratified_order(labels, seed=1)
    assert sorted(order) == list(range(200))
    assert [np.bincount(labels[order[:count]]).tolist() for count in (3, 20, 100)] == [
        [1, 1, 1],
        [1, 4, 15],
        [1, 20, 79],
    ]


def test_the_curve_measures_on_no_row_that_it_trains_on(tmp_path: Path) -> None:
    workspace = small_task(tmp_path)
    trained = train(workspace, parse_student("linear"))
    file = tmp_path / "task.yaml"
    sheet = load_holdout(workspace)
    (tmp_path / LOCK).unlink()
    file.write_text(file.read_text("utf-8").replace("share: 0.3", "share: 0.0"), "utf-8")
    with pytest.raises(StudentError, match="was trained on"):
        learning_curve(Workspace(tmp_path), find_student(workspace.students, trained.id), sheet)


# Killed, and on several processes


def start(workspace: Workspace, tiny: str, *before: str, epochs: int) -> subprocess.Popen[bytes]:
    words = ["train", "--student", tiny, "--task", workspace.root, "--learning-rate", 5e-3, "--epochs", epochs]
    command = [*(before or (sys.executable, "-m", "tutelage")), *map(str, words), "--json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path, tiny: str) -> None:
    texts = [text for text, _ in sentences(40, seed=5)]
    killed, whole = small_task(tmp_path / "killed"), small_task(tmp_path / "whole")
    process = start(killed, tiny, epochs=6)
    until = time.monotonic() + 60
    while not list(killed.students.glob(".work-*/checkpoint-*/trainer_state.json")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.communicate()[0] == b"", "it was killed before it was done"
    (work,) = killed.students.glob(".work-*")
    checkpoint = last_complete_checkpoint(work)
    assert checkpoint is not None
    (work / "checkpoint-9999").mkdir()  # as if cut short
    for workspace in (killed, whole):
        train(workspace, parse_student(tiny, learning_rate=5e-3, epochs=6))
    first, second = (find_student(workspace.students) for workspace in (killed, whole))
    assert first.id == second.id
    assert not list(killed.students.glob(".work-*"))
    assert first.manifest.training["validation_macro_f1"] == second.manifest.training["validation_macro_f1"]
    assert (first.load().predict_proba(texts) == second.load().predict_proba(texts)).all()


@pytest.mark.long
def test_two_processes_train_one_student(tmp_path: Path, tiny: str) -> None:
    workspace = small_task(tmp_path)
    # What `accelerate launch --multi_gpu` starts where there are GPUs.
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tutelage")
    out, error = start(workspace, tiny, *launch, epochs=2).communicate()
    assert out.count(b'"is_new"') == 1, error.decode()
    entry = find_student(workspace.students)
    assert entry.manifest.training["devices"] == 2
    assert entry.load().predict_proba(["profit rose"]).shape == (1, 3)


def test_the_help_names_each_option_of_a_recipe(tutelage: Callable[..., CompletedProcess[str]]) -> None:
    said = tutelage("train", "--help").stdout
    fixed = {"kind", "model", "warmup", "weight_decay", "long_texts"}
    for name in set(Recipe.__dataclass_fields__) - fixed:
        assert f"--{name.replace('_', '-')}" in said

"""Long texts in windows whose probabilities are averaged, where the task says so."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import numpy as np
import pytest
from training_data import PLACES, THINGS, WORDS, fill, freeze, make_workspace, records, sentences, tiny_roberta

from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError, TaskError
from tutelage.core.task import parse_task
from tutelage.core.workspace import Workspace
from tutelage.training.encoders.token_windows import averaged, check_windows, tokenised
from tutelage.training.export.run_alone import run_alone_page
from tutelage.training.prediction.engines.selection import classifier_on
from tutelage.training.prediction.serving.batching import BatchQueue
from tutelage.training.prediction.texts import predict_texts
from tutelage.training.registry import Entry, find_student
from tutelage.training.students.encoder import EncoderStudent, new_encoder
from tutelage.training.students.finetune import window_weights
from tutelage.training.students.recipe import Recipe, parse_student, student_id
from tutelage.training.train import train

LABELS = tuple(WORDS)


def long_texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of three windows whose last sentence alone says which label is theirs."""
    rng = random.Random(seed)

    def nothing() -> str:
        return f"the report on {rng.choice(THINGS)} was read {rng.choice(PLACES)}."

    return [(" ".join([*(nothing() for _ in range(5)), text]), label) for text, label in sentences(count, seed)]


ROWS, OTHERS = long_texts(400, seed=0), long_texts(90, seed=5)
TEXTS = [text for text, _ in OTHERS]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in ROWS]))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("task"))
    rows = records(ROWS, wrong=0.0)
    fill(made, rows, {})
    freeze(made, rows)
    return made


def trained(workspace: Workspace, long_texts: str, student: str, **options: float) -> Entry:
    """A student of the task with this line."""
    path = workspace.root / "task.yaml"
    kept = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("long_texts")]
    path.write_text("\n".join([*kept, f"long_texts: {long_texts}", ""]), "utf-8")
    changed = Workspace(workspace.root)
    return find_student(changed.students, train(changed, student, options={"max_length": 32, **options}).id)


def accuracy(entry: Entry) -> float:
    probs = entry.load().predict_proba(TEXTS)
    return float(np.mean([LABELS[i] == label for i, (_, label) in zip(probs.argmax(axis=1), OTHERS, strict=True)]))


def test_windows_see_what_stands_at_the_end(workspace: Workspace, tiny: str) -> None:
    cut, windowed = (trained(workspace, how, f"{tiny}:frozen") for how in ("cut", "windows"))
    assert cut.manifest.recipe.long_texts == "cut"
    assert windowed.manifest.recipe.long_texts == "windows"
    assert accuracy(windowed) > accuracy(cut) + 0.15  # .62 and .34: the encoder's weights are random


@pytest.mark.long
def test_a_tuned_encoder_learns_from_windows(workspace: Workspace, tiny: str) -> None:
    options = {"learning_rate": 3e-3, "epochs": 14, "batch_size": 8, "patience": 14}
    cut, windowed = (trained(workspace, how, tiny, **options) for how in ("cut", "windows"))
    assert accuracy(cut) < 0.5
    assert accuracy(windowed) > 0.9
    assert max(windowed.manifest.training["validation_macro_f1"]) > 0.9  # of texts, not of windows


@pytest.fixture(scope="module")
def encoder(tiny: str) -> EncoderStudent:
    return new_encoder(tiny, LABELS, 32, windows=True)


def test_windows_hold_all_tokens_and_share_a_quarter(encoder: EncoderStudent) -> None:
    whole = encoder.tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"]
    tokens = tokenised(encoder.tokenizer, [TEXTS[0], "up"], 32, windows=True)
    inner = [ids[1:-1] for ids in tokens.ids[:-1]]
    assert tokens.owners.tolist() == [0] * len(inner) + [1]
    assert all(len(ids) <= 32 for ids in tokens.ids)
    assert inner[0] + [part for ids in inner[1:] for part in ids[7:]] == whole  # 30 // 4 = 7 are shared
    assert len(tokenised(encoder.tokenizer, [TEXTS[0], "up"], 32, windows=False).ids) == 2


def test_a_texts_probabilities_are_the_mean_of_its_windows(encoder: EncoderStudent) -> None:
    parts = tokenised(encoder.tokenizer, TEXTS[:1], 32, windows=True).ids
    spelled = [encoder.tokenizer.decode(ids[1:-1], clean_up_tokenization_spaces=False) for ids in parts]
    each = encoder.predict_proba(spelled)
    assert len(each) > 1
    assert np.abs(encoder.predict_proba(["up", TEXTS[0], "down"])[1] - each.mean(axis=0)).max() < 1e-6
    assert averaged(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), np.array([0, 0, 1])).tolist() == [[0.5, 0.5]] * 2


def test_the_windows_of_a_text_share_its_weight() -> None:
    shares = window_weights(np.array([1.0, 1.0]), np.array([0, 0, 0, 1]))
    assert shares == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_engines_and_the_server_average_windows_too(encoder: EncoderStudent, tmp_path: Path) -> None:
    texts = ["up", *TEXTS[:5], "down"]
    own = encoder.predict_proba(texts)
    classifier = classifier_on(encoder, "encoder", tmp_path, "torch")
    assert np.abs(classifier.compute(classifier.prepare(texts)) - own).max() < 1e-5

    async def ask() -> list[Floats]:
        queue = BatchQueue(classifier)
        async with queue.running():
            return list(await asyncio.gather(*(queue.answer([text]) for text in texts)))

    assert np.abs(np.concatenate(asyncio.run(ask())) - own).max() < 1e-5


def test_a_student_predicts_in_the_way_it_was_trained(workspace: Workspace, tiny: str) -> None:
    entry = trained(workspace, "windows", f"{tiny}:frozen")
    trained(workspace, "cut", f"{tiny}:frozen")  # the task says cut by now
    frame = predict_texts(Workspace(workspace.root), TEXTS[:9], student=entry.id, engine="torch")
    own = entry.load().predict_proba(TEXTS[:9])
    assert np.abs(frame[[f"prob_{name}" for name in LABELS]].to_numpy() - own).max() < 1e-5


def test_a_student_of_an_earlier_version_keeps_its_id_and_is_cut(workspace: Workspace, tiny: str) -> None:
    recipe = parse_student(f"{tiny}:frozen", max_length=32)
    assert student_id(recipe, "s", []) == student_id(recipe.with_options(long_texts="cut"), "s", [])
    assert student_id(recipe, "s", []) != student_id(recipe.with_options(long_texts="windows"), "s", [])
    entry = trained(workspace, "cut", f"{tiny}:frozen")
    manifest = json.loads((entry.path / "student.json").read_text("utf-8"))
    del manifest["recipe"]["long_texts"]
    (entry.path / "student.json").write_text(json.dumps(manifest), "utf-8")
    assert not find_student(workspace.students, entry.id).manifest.recipe.windows


def test_a_linear_student_reads_whole_texts_anyway() -> None:
    linear, other = Recipe(kind="linear"), Recipe(kind="linear", long_texts="windows")
    assert not other.windows
    assert student_id(linear, "s", []) == student_id(other, "s", [])


def test_a_tokenizer_without_windows_is_refused() -> None:
    from transformers import CanineTokenizer

    with pytest.raises(StudentError, match=r"its tokenizer cannot make windows; .* long_texts: cut"):
        check_windows("google/canine-s", CanineTokenizer())


def test_the_task_knows_two_ways() -> None:
    with pytest.raises(TaskError, match=r"long_texts: must be 'cut' or 'windows', not `all`"):
        parse_task("name: a\nlabels: [a, b]\nlong_texts: all\n")


def test_the_model_card_and_an_export_say_what_others_do_not(workspace: Workspace, tiny: str) -> None:
    cut, windowed = (trained(workspace, how, f"{tiny}:frozen") for how in ("cut", "windows"))
    assert "averages the probabilities of windows" in (windowed.path / "README.md").read_text("utf-8")
    assert "windows" not in (cut.path / "README.md").read_text("utf-8")
    assert "averages their probabilities; this program does not" in run_alone_page(windowed.manifest, "onnx")
    assert "windows" not in run_alone_page(cut.manifest, "onnx")


def test_no_text_is_cut_with_windows(encoder: EncoderStudent) -> None:
    assert tokenised(encoder.tokenizer, [TEXTS[0], "up"], 32, windows=True).truncated == 0
    assert tokenised(encoder.tokenizer, [TEXTS[0], "up"], 32, windows=False).truncated == 1

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError
from tutelage.core.pred_probs import write_pred_probs
from tutelage.training.out_of_sample.cross_validation import out_of_sample
from tutelage.training.students.linear import fit_linear

GOOD = [f"profit rose to {n} million in quarter {n % 4}" for n in range(30)]
BAD = [f"loss fell by {n} million in quarter {n % 4}" for n in range(30)]


class Memory:
    """Knows the texts that it was trained on; says label 1 of those and label 0 of all others."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = {" ".join(text.split()) for text in texts}

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        return np.array([[0.0, 1.0] if " ".join(text.split()) in self.texts else [1.0, 0.0] for text in texts])


def test_no_text_is_judged_by_a_model_that_saw_it_or_its_twin() -> None:
    texts = [*GOOD, *BAD, *(f"  {text} " for text in GOOD)]
    labels = np.array([0] * 30 + [1] * 30 + [0] * 29 + [-1])
    probs = out_of_sample(texts, labels, 2, fit=lambda train, _labels: Memory(train))
    assert (probs[:, 0] == 1).all()


def test_columns_follow_the_label_order_and_predict_well() -> None:
    labels = np.array([2] * 30 + [0] * 30)
    probs = out_of_sample([*GOOD, *BAD], labels, 3)
    assert (probs.argmax(axis=1) == labels).all()
    assert (probs[:, 1] == 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_same_seed_same_result_and_other_seed_other_folds() -> None:
    labels = np.array([0] * 30 + [1] * 30)
    first, again, other = (out_of_sample([*GOOD, *BAD], labels, 2, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_text_without_label_gets_the_mean_of_all_models() -> None:
    labels = np.array([0] * 30 + [1] * 30 + [-1])
    probs = out_of_sample([*GOOD, *BAD, "profit rose"], labels, 2)
    assert probs[-1, 0] > 0.8


def test_a_label_with_a_single_row_has_probability_0_where_it_was_not_seen() -> None:
    labels = np.array([0] * 30 + [1] * 30 + [2])
    probs = out_of_sample([*GOOD, *BAD, "shares were suspended"], labels, 3)
    assert probs[-1, 2] == 0
    assert (probs[:-1, 2] > 0).any()
    np.testing.assert_allclose(probs.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        ([], []),
        (["one text"], [0]),
        (["one text"], [-1]),
        (["same text", "same  text"], [0, 1]),
        (["first text", "second text"], [-1, -1]),
    ],
)
def test_with_nothing_to_learn_from_all_labels_are_equally_probable(texts: list[str], labels: list[int]) -> None:
    probs = out_of_sample(texts, np.array(labels, dtype=np.int64), 4)
    assert probs.shape == (len(texts), 4)
    assert (probs == 0.25).all()


def test_one_class_and_fewer_texts_than_folds() -> None:
    assert (out_of_sample(GOOD, np.zeros(30, dtype=np.int64), 2) == [1, 0]).all()
    probs = out_of_sample(["profit rose", "loss fell", "loss grew"], np.array([0, 1, 1]), 2)
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_the_file_names_the_order_of_its_columns(tmp_path: Path) -> None:
    probs = np.array([[0.1, 0.9], [0.8, 0.2]])
    write_pred_probs(tmp_path / "p.parquet", ["a", "b"], ["up, 📈", "down"], probs)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["id", "up, 📈", "down"]
    assert json.loads(table.schema.metadata[b"labels"]) == ["up, 📈", "down"]
    assert table["down"].to_pylist() == [0.9, 0.2]


def test_a_linear_student_reloads_equal_and_without_pickle(tmp_path: Path) -> None:
    student = fit_linear([*GOOD, *BAD], np.array([0] * 30 + [1] * 30), ("good", "bad"))
    student.save(tmp_path)
    again = type(student).load(tmp_path, ("good", "bad"))
    texts = [*GOOD, "never seen", "", "Ünïcode 📈"]
    assert (student.predict_proba(texts) == again.predict_proba(texts)).all()
    for file in tmp_path.glob("*.npz"):
        np.load(file, allow_pickle=False)
    assert again.predict_proba([]).shape == (0, 2)


def test_texts_that_share_nothing_can_be_learned_from_all_the_same() -> None:
    texts = [chr(0x4E00 + i) * 5 for i in range(30)]
    labels = np.arange(30) % 2
    student = fit_linear(texts, labels, ("even", "odd"))
    assert (student.predict_proba(texts).argmax(axis=1) == labels).all()
    with pytest.raises(StudentError, match="no text contains a word"):
        fit_linear(["!"] * 30, labels, ("even", "odd"))


def test_a_label_that_was_never_seen_shifts_no_column() -> None:
    texts = [*GOOD, *BAD, *(f"sales stayed at {n}" for n in range(30))]
    labels = np.repeat([3, 1, 4], 30)
    probs = fit_linear(texts, labels, tuple("abcde")).predict_proba(texts)
    assert (probs.argmax(axis=1) == labels).all()
    assert (probs[:, [0, 2]] == 0).all()

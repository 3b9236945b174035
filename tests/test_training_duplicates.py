from __future__ import annotations

import random
import time

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer
from training_data import sentences

from tutelage.training.measures.folding import folded
from tutelage.training.measures.near_duplicates import SIMILAR, near_duplicate_groups, near_duplicates


def test_the_most_similar_of_the_others_is_named() -> None:
    others = ["Sales fell in the third quarter of 2007.", "Net profit rose to 12 million euros.", "A new plant opens."]
    texts = ["net  profit rose to 12 million euros", "Net profit rose to 12 million euros!!", "Something else entirely"]
    assert near_duplicates(texts, others).tolist() == [1, 1, -1]


def test_nothing_is_like_nothing() -> None:
    assert near_duplicates([], ["a text"]).tolist() == []
    assert near_duplicates(["a text"], []).tolist() == [-1]
    assert near_duplicates(["", " ", "x"], ["some other text"]).tolist() == [-1, -1, -1]


def test_short_texts_are_equal_only_when_they_are() -> None:
    assert near_duplicates(["up", "down", "UP"], ["up"]).tolist() == [0, -1, 0]


def test_no_pair_is_missed_and_none_is_made_up() -> None:
    rng = random.Random(0)
    others = [text for text, _ in sentences(150, seed=1)]
    texts = [text for text, _ in sentences(60, seed=2)]
    texts += ["".join(char for char in text if rng.random() > 0.03) for text in others[:60]]
    found = near_duplicates(texts, others)
    scores = _by_hand(texts, others)
    assert (scores.max(axis=1) >= SIMILAR).sum() > 10
    assert ((found >= 0) == (scores.max(axis=1) >= SIMILAR)).all()
    close = np.flatnonzero(found >= 0)
    np.testing.assert_allclose(scores[close, found[close]], scores[close].max(axis=1))


def _by_hand(texts: list[str], others: list[str]) -> np.ndarray:
    grams = CountVectorizer(analyzer="char_wb", ngram_range=(5, 5)).build_analyzer()
    sets = [set(grams(folded(text))) for text in [*texts, *others]]
    return np.array([[len(a & b) / len(a | b) for b in sets[len(texts) :]] for a in sets[: len(texts)]])


def test_groups_hold_what_is_near_a_near_duplicate() -> None:
    texts = ["Net profit rose to 12 million euros.", "A new plant opens.", "net  profit rose to 12 million euros", "x"]
    assert near_duplicate_groups([*texts, "A NEW PLANT OPENS!", "", " "]).tolist() == [0, 1, 0, 2, 1, 3, 3]
    assert near_duplicate_groups([]).tolist() == []


def test_groups_are_those_of_all_pairs() -> None:
    rng = random.Random(0)
    texts = [text for text, _ in sentences(400, seed=1)]
    texts += ["".join(char for char in text if rng.random() > 0.03) for text in texts[:200]]
    similar = csr_matrix(_by_hand(texts, texts) >= SIMILAR)
    count, groups = connected_components(similar, directed=False)
    assert 300 < count < 500
    found = near_duplicate_groups(texts)
    assert len(set(zip(found, groups, strict=True))) == len(set(found)) == count


def test_the_time_of_groups_grows_with_the_texts_and_not_with_the_pairs() -> None:
    texts = [f"Your order {i} has shipped and will arrive on day {i % 31} at noon" for i in range(10_000)]
    before = time.process_time()
    assert set(near_duplicate_groups(texts)) == {0}
    assert time.process_time() - before < 8, "all pairs of 10,000 texts take minutes"

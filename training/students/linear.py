"""The linear student: TF-IDF of words and character n-grams, and logistic regression. Trains in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.errors import StudentError
from tutelage.core.files import write_text
from tutelage.core.records import ProgressCallback
from tutelage.training.students.head import Head, fit_head
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import Fitted, TrainingSet

_WORDS = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
_CHARACTERS = {"analyzer": "char_wb", "ngram_range": (3, 5)}
_VECTORIZERS = (_WORDS, _CHARACTERS)
_VOCABULARY, _IDF = "vocabulary.json", "idf.npz"


class LinearStudent:
    """Two fitted TF-IDF vectorizers, side by side, and a head."""

    def __init__(self, vectorizers: Sequence[Any], head: Head, label_names: tuple[str, ...]) -> None:
        self.label_names = label_names
        self._vectorizers, self._head = tuple(vectorizers), head

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (N, K)."""
        if not texts:
            return np.empty((0, len(self.label_names)))
        return self._head.predict_proba(_features(self._vectorizers, texts))

    def save(self, directory: Path) -> None:
        """Save vocabularies as JSON, weights as plain arrays."""
        terms = [list(map(str, vectorizer.get_feature_names_out())) for vectorizer in self._vectorizers]
        write_text(directory / _VOCABULARY, json.dumps(terms, ensure_ascii=False))
        np.savez(directory / _IDF, *[vectorizer.idf_ for vectorizer in self._vectorizers])
        self._head.save(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...]) -> LinearStudent:
        """Load a saved student."""
        vocabularies = json.loads((directory / _VOCABULARY).read_text("utf-8"))
        with np.load(directory / _IDF, allow_pickle=False) as arrays:
            idfs = [arrays[name] for name in arrays.files]
        parts = zip(_VECTORIZERS, vocabularies, idfs, strict=True)
        return cls([_restored(*part) for part in parts], Head.load(directory), label_names)


def fit_linear(
    texts: Sequence[str],
    labels: Ints,
    label_names: tuple[str, ...],
    *,
    weights: Floats | None = None,
    balanced: bool = True,
) -> LinearStudent:
    """Train on texts with labels 0 to K-1; deterministic.

    Raises
    ------
    StudentError
        When no text contains a word.
    """
    try:
        vectorizers = [_fitted(options, texts) for options in _VECTORIZERS]
    except ValueError:
        raise StudentError(
            "no text contains a word to learn from; check the texts in the snapshot's records.parquet"
        ) from None
    features = _features(vectorizers, texts)
    return LinearStudent(
        vectorizers, fit_head(features, labels, len(label_names), weights=weights, balanced=balanced), label_names
    )


def fit(
    recipe: Recipe, training_set: TrainingSet, label_names: tuple[str, ...], _work: Path, _progress: ProgressCallback
) -> Fitted:
    """Train with the recipe's options."""
    rows, balanced = training_set, recipe.balanced
    return Fitted(fit_linear(rows.texts, rows.labels, label_names, weights=rows.weights, balanced=balanced))


load = LinearStudent.load


def _fitted(options: dict[str, Any], texts: Sequence[str]) -> Any:
    if options is _CHARACTERS and len(texts) > 20:  # n-grams of a single text do not generalise
        with suppress(ValueError):  # no two texts share one
            return _vectorizer(options, min_df=2).fit(texts)
    return _vectorizer(options).fit(texts)


def _vectorizer(options: dict[str, Any], **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(**options, sublinear_tf=True, **more)


def _features(vectorizers: Sequence[Any], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    return hstack([vectorizer.transform(texts) for vectorizer in vectorizers], format="csr")


def _restored(options: dict[str, Any], terms: list[str], idf: Floats) -> Any:
    vectorizer = _vectorizer(options, vocabulary=terms)
    vectorizer.idf_ = idf
    return vectorizer

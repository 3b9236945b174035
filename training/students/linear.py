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
from tutelage.training.students.character_ngrams import CharacterVectorizer
from tutelage.training.students.head import Head, fit_head
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import Fitted, TrainingSet

_WORDS = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
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
        words, characters = zip(vocabularies, idfs, strict=True)
        vectorizers = [_restored(*words), CharacterVectorizer.restored(*characters)]
        return cls(vectorizers, Head.load(directory), label_names)


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
        words, word_features = _fitted_words(texts)
        characters, character_features = _fitted_characters(texts)
    except ValueError:
        raise StudentError(
            "no text contains a word to learn from; check the texts in the snapshot's records.parquet"
        ) from None
    features = _side_by_side([word_features, character_features])
    head = fit_head(features, labels, len(label_names), weights=weights, balanced=balanced)
    return LinearStudent((words, characters), head, label_names)


def fit(
    recipe: Recipe, training_set: TrainingSet, label_names: tuple[str, ...], _work: Path, _progress: ProgressCallback
) -> Fitted:
    """Train with the recipe's options."""
    rows, balanced = training_set, recipe.balanced
    return Fitted(fit_linear(rows.texts, rows.labels, label_names, weights=rows.weights, balanced=balanced))


load = LinearStudent.load


def _fitted_words(texts: Sequence[str]) -> tuple[Any, Any]:
    vectorizer = _word_vectorizer()
    features = vectorizer.fit_transform(texts)
    return vectorizer, features


def _fitted_characters(texts: Sequence[str]) -> tuple[CharacterVectorizer, Any]:
    if len(texts) > 20:  # n-grams of a single text do not generalise
        with suppress(ValueError):  # no two texts share one
            return CharacterVectorizer.fitted(texts, min_df=2)
    return CharacterVectorizer.fitted(texts, min_df=1)


def _word_vectorizer(**more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(**_WORDS, sublinear_tf=True, **more)


def _features(vectorizers: Sequence[Any], texts: Sequence[str]) -> Any:
    return _side_by_side([vectorizer.transform(texts) for vectorizer in vectorizers])


def _side_by_side(parts: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(parts, format="csr")


def _restored(terms: list[str], idf: Floats) -> Any:
    vectorizer = _word_vectorizer(vocabulary=terms)
    vectorizer.idf_ = idf
    return vectorizer

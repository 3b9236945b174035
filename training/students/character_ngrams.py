"""TF-IDF of character n-grams within words, counted once for each distinct word.

Gives what scikit-learn's ``TfidfVectorizer(analyzer="char_wb", sublinear_tf=True)`` gives: a text's counts are the
sums of those of its words, and a task has far fewer words than its texts have n-grams.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from tutelage.core.arrays import Floats

_LENGTHS = (3, 5)
_FEW = 16
"""Texts under which it takes longer to part their words than to count all that they hold."""


class CharacterVectorizer:
    """Fitted n-grams and their weights, with the part of a ``TfidfVectorizer``'s interface that a student needs."""

    def __init__(self, terms: Sequence[str], tfidf: Any) -> None:
        self._ngrams, self._tfidf = _ngram_counter(vocabulary=list(terms)), tfidf

    @classmethod
    def fitted(cls, texts: Sequence[str], *, min_df: int) -> tuple[Self, Any]:
        """A vectorizer of the n-grams that at least ``min_df`` texts have, and the features of these texts.

        Raises
        ------
        ValueError
            When there is no such n-gram.
        """
        in_text, words = _counted_words(texts)
        ngrams = _ngram_counter()
        counts = in_text @ ngrams.fit_transform(words)
        kept = np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]) >= min_df)
        if not len(kept):
            raise ValueError("no n-gram is left")
        tfidf = _weights()
        return cls(ngrams.get_feature_names_out()[kept], tfidf), tfidf.fit_transform(_sorted(counts[:, kept]))

    @classmethod
    def restored(cls, terms: Sequence[str], idf: Floats) -> Self:
        """A vectorizer from what was saved of it."""
        tfidf = _weights()
        tfidf.idf_ = idf
        return cls(terms, tfidf)

    @property
    def idf_(self) -> Floats:
        """The weight of each n-gram."""
        weights: Floats = self._tfidf.idf_
        return weights

    def get_feature_names_out(self) -> list[str]:
        """The n-grams, in the order of the columns."""
        terms: list[str] = self._ngrams.vocabulary
        return terms

    def transform(self, texts: Sequence[str]) -> Any:
        """The features of these texts, sparse, one row each."""
        if len(texts) < _FEW:
            return self._tfidf.transform(self._ngrams.transform(texts))
        in_text, words = _counted_words(texts)
        return self._tfidf.transform(_sorted(in_text @ self._ngrams.transform(words)))


def _weights() -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(sublinear_tf=True)


def _ngram_counter(**more: Any) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(analyzer="char_wb", ngram_range=_LENGTHS, dtype=np.int32, **more)


def _counted_words(texts: Sequence[str]) -> tuple[Any, list[str]]:
    """How often each text has each word (N, W), and the words; between spaces, as the n-grams are."""
    from scipy.sparse import csr_matrix

    place: dict[str, int] = {}
    columns, ends = array("i"), [0]
    for text in texts:
        columns.extend(place.setdefault(word, len(place)) for word in text.lower().split())
        ends.append(len(columns))
    counts = csr_matrix((np.ones(len(columns), dtype=np.int32), columns, ends), shape=(len(texts), len(place)))
    counts.sum_duplicates()
    return counts, list(place)


def _sorted(counts: Any) -> Any:
    counts.sort_indices()
    return counts

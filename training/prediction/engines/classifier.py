"""A student on an engine: batches sorted by length, results in the order of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, softmax
from tutelage.training.encoders.token_windows import averaged, tokenised
from tutelage.training.prediction.engines.engine import Engine, Network, TokenRows
from tutelage.training.students.encoder import length_batches
from tutelage.training.students.student import Student


class EngineClassifier:
    """Tokenises with the student's tokenizer and computes with the engine."""

    def __init__(self, network: Network, engine: Engine) -> None:
        self.name = engine.name
        self._engine, self._tokenizer, self._max_length = engine, network.tokenizer, network.max_length
        self._windows = network.windows
        self._pool = ThreadPoolExecutor(engine.workers)

    def prepare(self, texts: list[str]) -> TokenRows:
        """Token ids of each text, truncated to ``max_length``, or of its windows."""
        tokens = tokenised(self._tokenizer, texts, self._max_length, windows=self._windows)
        rows = TokenRows(np.array(ids) for ids in tokens.ids)
        rows.owners, rows.truncated = tokens.owners, tokens.truncated
        return rows

    def compute(self, prepared: TokenRows) -> Floats:
        """Probabilities of shape (N, K)."""
        scores: list[Any] = [None] * len(prepared)
        batches = list(length_batches([len(ids) for ids in prepared], self._engine.tokens_a_batch))
        results = self._pool.map(lambda rows: self._scores([prepared[row] for row in rows]), batches)
        for rows, batch in zip(batches, results, strict=True):
            for row, score in zip(rows, batch, strict=True):
                scores[row] = score
        return averaged(softmax(np.asarray(scores, dtype=np.float64)), prepared.owners)

    def _scores(self, tokens: Sequence[Ints]) -> Floats:
        ids = np.full((len(tokens), max(map(len, tokens))), self._tokenizer.pad_token_id)
        mask = np.zeros_like(ids)
        left = self._tokenizer.padding_side == "left"  # XLNet reads the last place
        for row, sequence in enumerate(tokens):
            place = slice(-len(sequence), None) if left else slice(len(sequence))
            ids[row, place] = sequence
            mask[row, place] = 1
        return self._engine.scores(ids, mask)


class PlainClassifier:
    """A student that needs no engine, such as ``linear``."""

    def __init__(self, student: Student, name: str) -> None:
        self.name, self._student = name, student

    def prepare(self, texts: list[str]) -> list[str]:
        """The texts themselves."""
        return texts

    def compute(self, prepared: list[str]) -> Floats:
        """Probabilities of shape (N, K)."""
        return self._student.predict_proba(prepared)

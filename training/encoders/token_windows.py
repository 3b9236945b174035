"""Texts as token ids: cut at a number of tokens, or in windows of it whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.errors import StudentError

OVERLAP = 4
"""A window begins with the last quarter of the one before."""


@dataclass(frozen=True)
class TokenWindows:
    """Token ids of M windows of N texts, M at least N.

    ``owners``, of shape (M,) and ascending, are their texts; ``truncated`` counts the texts that were cut.
    """

    ids: list[list[int]]
    owners: Ints
    truncated: int = 0


def tokenised(tokenizer: Any, texts: Sequence[str], max_length: int, *, windows: bool) -> TokenWindows:
    """Token ids with the model's special tokens, at most ``max_length`` in a window.

    Without ``windows`` each text is one window, its beginning.
    """
    if not len(texts):
        return TokenWindows([], np.empty(0, dtype=int))
    options = _overflow(tokenizer, max_length) if windows else {}
    tokens = tokenizer(list(texts), truncation=True, max_length=max_length, return_attention_mask=False, **options)
    if windows:
        return TokenWindows(tokens["input_ids"], np.array(tokens["overflow_to_sample_mapping"], dtype=int))
    cut = count_truncated(tokenizer, texts, tokens, max_length)
    return TokenWindows(tokens["input_ids"], np.arange(len(texts)), cut)


def count_truncated(tokenizer: Any, texts: Sequence[str], tokens: Any, max_length: int) -> int:
    """How many of these texts have more than ``max_length`` tokens; ``tokens`` is what the tokenizer made of them."""
    full = [row for row, ids in enumerate(tokens["input_ids"]) if len(ids) >= max_length]
    if tokens.encodings:  # they keep what was cut off
        return sum(bool(tokens.encodings[row].overflowing) for row in full)
    whole = tokenizer([texts[row] for row in full])["input_ids"] if full else []
    return sum(len(ids) > max_length for ids in whole)


def _overflow(tokenizer: Any, max_length: int) -> dict[str, Any]:
    shared = max(0, max_length - tokenizer.num_special_tokens_to_add()) // OVERLAP
    return {"return_overflowing_tokens": True, "stride": shared}


def window_counts(owners: Ints) -> Ints:
    """How many windows each text has, shape (N,)."""
    return np.bincount(owners)


def averaged(probs: Floats, owners: Ints) -> Floats:
    """The mean over the windows of each text: shape (N, K) from (M, K)."""
    counts = window_counts(owners)
    if len(counts) == len(owners):
        return probs
    return np.asarray(np.add.reduceat(probs, np.cumsum(counts) - counts, axis=0) / counts[:, None])


def check_windows(name: str, tokenizer: Any) -> None:
    """Refuse a tokenizer that makes no windows: one that is written in Python.

    Raises
    ------
    StudentError
        With the key of the task file.
    """
    if not tokenizer.is_fast:
        raise StudentError(
            f"--student {name}: its tokenizer cannot make windows; choose another model, or write long_texts: cut in"
            " task.yaml"
        )

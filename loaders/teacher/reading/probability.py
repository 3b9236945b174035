"""The model's probability of a label, from the log probabilities of its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence


def label_probability(tokens: Sequence[tuple[str, float]], label_text: str) -> float | None:
    """The probability of the tokens that spell the label at its last occurrence in the answer.

    Parameters
    ----------
    tokens
        The answer's tokens in order, each with its natural log probability.
    label_text
        The label as the answer words it.

    Returns
    -------
        0 to 1: the product over the tokens that overlap the label; None where it is not found.
    """
    start = "".join(token for token, _ in tokens).rfind(label_text) if label_text else -1
    if start < 0:
        return None
    total, at = 0.0, 0
    for token, logprob in tokens:
        if at < start + len(label_text) and at + len(token) > start:
            total += logprob
        at += len(token)
    return min(1.0, math.exp(total))

"""How sure the model was of a label, from its tokens' log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence


def label_probability(tokens: Sequence[tuple[str, float]], said: str) -> float | None:
    """The probability of the tokens that spell ``said`` where it stands last in the answer.

    Parameters
    ----------
    tokens
        The answer's tokens in order, each with the natural logarithm of its probability.

    Returns
    -------
        0 to 1: the product over the tokens that overlap the label; None where it is not found.
    """
    start = "".join(token for token, _ in tokens).rfind(said) if said else -1
    if start < 0:
        return None
    total, at = 0.0, 0
    for token, logprob in tokens:
        if at < start + len(said) and at + len(token) > start:
            total += logprob
        at += len(token)
    return min(1.0, math.exp(total))

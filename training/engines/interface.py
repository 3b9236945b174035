"""What an engine is, and what it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.student import Floats, Ints


@dataclass(frozen=True)
class Network:
    """A student's neural part: ``module(input_ids, attention_mask)`` gives scores of shape (B, K), in float32.

    ``exports`` is the folder beside the checkpoint in which engines keep what they made of it.
    """

    module: Any
    tokenizer: Any
    max_length: int
    exports: Path


class Engine(Protocol):
    """Runs a network; ``tokens_a_batch`` is how many tokens, padding counted, it likes at once."""

    name: str
    tokens_a_batch: int

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Scores of shape (B, K) for token ids and their mask, both of shape (B, T)."""
        ...


class Classifier(Protocol):
    """A student on an engine. ``prepare`` may run in another thread than ``compute``."""

    name: str

    def prepare(self, texts: list[str]) -> Any:
        """What ``compute`` takes, such as tokens, of at least one text."""
        ...

    def compute(self, prepared: Any) -> Floats:
        """Probabilities of shape (N, K), rows in the order of the texts."""
        ...

"""What an engine is, and what it runs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tutelage.core.arrays import Floats, Ints


@dataclass(frozen=True)
class Network:
    """A student's neural part: ``module(input_ids, attention_mask)`` gives scores of shape (B, K), in float32.

    ``module`` is the reference; engines run, or export, a ``lean`` copy. ``exports`` is the folder
    beside the checkpoint in which they keep what they made of it.
    """

    module: Any
    tokenizer: Any
    max_length: int
    exports: Path

    def lean(self) -> Any:
        """A copy that does not compute what the scores do not need."""
        from tutelage.training.prediction.engines.first_token import first_token_only

        module = copy.deepcopy(self.module)
        if hasattr(module, "model"):
            first_token_only(module.model)
        return module


class Engine(Protocol):
    """Runs a network.

    ``tokens_a_batch`` is how many tokens, padding counted, it likes at once, ``workers`` from how many
    threads ``scores`` may be called at once.
    """

    name: str
    tokens_a_batch: int
    workers: int

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

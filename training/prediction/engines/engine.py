"""The interface of engines, and the network that they run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tutelage.core.arrays import Floats, Ints


@dataclass(frozen=True, kw_only=True)
class Network:
    """A student's neural network: ``module(input_ids, attention_mask)`` gives logits of shape (B, K), in float32.

    ``module`` is the reference; engines run, or export, a ``lean`` copy. ``exports`` is the folder
    beside the checkpoint for exported models. With ``windows``, the probabilities of a text's windows are averaged.
    """

    module: Any
    tokenizer: Any
    max_length: int
    exports: Path
    windows: bool = False

    def lean(self) -> Any:
        """A copy without computations that the logits do not depend on."""
        from tutelage.training.prediction.engines.first_token import first_token_only

        module = copy.deepcopy(self.module)
        if hasattr(module, "model"):
            first_token_only(module.model)
        return module


class TokenRows(list[Ints]):
    """Token ids of windows; ``owners``, of shape (M,), are their texts; ``truncated`` counts texts that are longer."""

    owners: Ints
    truncated = 0


def truncated(prepared: Any) -> int:
    """How many texts the student reads the beginning of only, of what a classifier prepared."""
    return int(getattr(prepared, "truncated", 0))


class Engine(Protocol):
    """Runs a network.

    ``tokens_a_batch`` is the best number of tokens per batch, padding included, ``workers`` the number of
    threads that may call ``scores`` concurrently.
    """

    name: str
    tokens_a_batch: int
    workers: int

    def scores(self, ids: Ints, mask: Ints) -> Floats:
        """Logits of shape (B, K) for token ids and their mask, both of shape (B, T)."""
        ...


class Classifier(Protocol):
    """A student on an engine. ``prepare`` and ``compute`` may run in different threads."""

    name: str

    def prepare(self, texts: list[str]) -> Any:
        """The input of ``compute``, such as tokens, for at least one text."""
        ...

    def compute(self, prepared: Any) -> Floats:
        """Probabilities of shape (N, K), rows in the order of the texts."""
        ...

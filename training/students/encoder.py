"""The encoder student: any Hugging Face encoder with a classification head. Safetensors only, no remote code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, softmax
from tutelage.core.compute import has_gpu
from tutelage.core.errors import StudentError

SAFE = {"trust_remote_code": False, "use_safetensors": True}
"""How every model is loaded: no remote code, no pickle."""

TOKENS_A_BATCH = 4096


class EncoderStudent:
    """A sequence classifier and its tokenizer; texts are truncated to ``max_length`` tokens."""

    def __init__(self, model: Any, tokenizer: Any, label_names: tuple[str, ...], max_length: int) -> None:
        self.label_names = label_names
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (N, K), in the order of ``texts``; batches are sorted by length."""
        import torch

        logits = np.empty((len(texts), len(self.label_names)))
        device = "cuda" if has_gpu() else "cpu"
        self.model.to(device).eval()
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"] if texts else []
        for rows in length_batches([len(ids) for ids in tokens]):
            batch = self.tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt").to(device)
            with torch.inference_mode():
                logits[rows] = self.model(**batch).logits.float().cpu().numpy()
        return softmax(logits)

    def save(self, directory: Path) -> None:
        """Save in the layout of a model on the Hub."""
        self.tokenizer.model_max_length = self.max_length
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...]) -> EncoderStudent:
        """Load a saved student."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        silence_transformers()
        model = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True, **SAFE)
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        return cls(model, tokenizer, label_names, int(tokenizer.model_max_length))


def new_encoder(name: str, label_names: tuple[str, ...], max_length: int) -> EncoderStudent:
    """A pretrained encoder with a randomly initialised classification head.

    Raises
    ------
    StudentError
        When the model cannot be loaded, or has no safetensors.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    silence_transformers()
    names = {"id2label": dict(enumerate(label_names)), "label2id": {name: i for i, name in enumerate(label_names)}}
    try:
        model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=len(label_names), **names, **SAFE)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from None
    return EncoderStudent(model, tokenizer, label_names, usable_length(model.config, tokenizer, max_length))


def silence_transformers() -> None:
    """No progress bars, and no warning about the weights of a new head, which are expected."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def cannot_load(name: str, error: Exception) -> StudentError:
    """The error for a model that is neither on the Hub nor on disk."""
    reason = str(error).strip().splitlines()[0]
    return StudentError(
        f"--student {name}: cannot be loaded: {reason} Use the Hub name or the path of an encoder with safetensors,"
        " or --student linear, which needs no download."
    )


def usable_length(config: Any, tokenizer: Any, max_length: int) -> int:
    """The model's maximum number of tokens, at most ``max_length``; some start positions at 2, some have no limit."""
    positions = getattr(config, "max_position_embeddings", -1)
    return int(min(max_length, tokenizer.model_max_length, positions - 2 if positions > 0 else max_length))


def count_truncated(tokenizer: Any, texts: Sequence[str], tokens: Any, max_length: int) -> int:
    """How many of these texts have more than ``max_length`` tokens; ``tokens`` is what the tokenizer made of them."""
    full = [row for row, ids in enumerate(tokens["input_ids"]) if len(ids) >= max_length]
    if tokens.encodings:  # they keep what was cut off
        return sum(bool(tokens.encodings[row].overflowing) for row in full)
    whole = tokenizer([texts[row] for row in full])["input_ids"] if full else []
    return sum(len(ids) > max_length for ids in whole)


def length_batches(lengths: Sequence[int], tokens: int = TOKENS_A_BATCH) -> Iterator[Ints]:
    """Row indices in batches of similar length, the longest first, of at most ``tokens`` tokens with padding."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def equal_length_batches(lengths: Sequence[int], tokens: int) -> Iterator[Ints]:
    """As ``length_batches``, with texts of one length in a batch and so without padding."""
    known = np.asarray(lengths)
    for length in np.unique(known)[::-1]:
        rows, size = np.flatnonzero(known == length), max(1, tokens // max(1, length))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))

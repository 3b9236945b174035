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
"""How every model is loaded: its code is transformers' own, its weights hold no pickle."""

TOKENS_A_BATCH = 4096


class EncoderStudent:
    """A sequence classifier and its tokenizer; texts are cut after ``max_length`` tokens."""

    def __init__(self, model: Any, tokenizer: Any, label_names: tuple[str, ...], max_length: int) -> None:
        self.label_names = label_names
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (N, K); batches are of similar length, the order is that of ``texts``."""
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
        """The layout of a model on the Hub."""
        self.tokenizer.model_max_length = self.max_length
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...]) -> EncoderStudent:
        """The student that was saved there."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        hush()
        model = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True, **SAFE)
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        return cls(model, tokenizer, label_names, int(tokenizer.model_max_length))


def new_encoder(name: str, label_names: tuple[str, ...], max_length: int) -> EncoderStudent:
    """A pretrained encoder with a head of random weights.

    Raises
    ------
    StudentError
        When the model cannot be had, or has no safetensors.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    hush()
    names = {"id2label": dict(enumerate(label_names)), "label2id": {name: i for i, name in enumerate(label_names)}}
    try:
        model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=len(label_names), **names, **SAFE)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from None
    return EncoderStudent(model, tokenizer, label_names, usable_length(model.config, tokenizer, max_length))


def hush() -> None:
    """No progress bars and no report of the weights that a new head brings: they are as expected."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def cannot_load(name: str, error: Exception) -> StudentError:
    """The error for a model that is neither on the Hub, in its cache nor on disk."""
    reason = str(error).strip().splitlines()[0]
    return StudentError(
        f"--student {name}: cannot be loaded: {reason} Give a Hub name or a path of an encoder with safetensors,"
        " or use --student linear, which needs no download."
    )


def usable_length(config: Any, tokenizer: Any, max_length: int) -> int:
    """Tokens that the model can take, at most ``max_length``; some models count positions from 2, some have no end."""
    positions = getattr(config, "max_position_embeddings", -1)
    return int(min(max_length, tokenizer.model_max_length, positions - 2 if positions > 0 else max_length))


def length_batches(lengths: Sequence[int], tokens: int = TOKENS_A_BATCH) -> Iterator[Ints]:
    """Row numbers in batches of similar length, the longest first, of at most ``tokens`` with padding."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
